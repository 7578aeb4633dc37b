"""Certificates of the gateway's own: when each is over, and whether it is time to say so.

Promises: a file that cannot be read or is no certificate is said as such and costs nothing else; of a chain the
certificate that is over first counts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

WARN_MS = 30 * 86_400_000  # whoever issues by hand needs weeks; what renews itself does so before
CERTIFICATE_BYTES_MAX = 1024 * 1024


class Certificate(NamedTuple):
    """One configured certificate. `key` is the configuration's; `expires_ms` None: it cannot be read, see `problem`."""

    key: str
    expires_ms: int | None
    problem: str | None

    def is_due(self, wall_ms: int) -> bool:
        """Whether somebody should act."""
        return self.expires_ms is None or self.expires_ms - wall_ms < WARN_MS


def look_at(files: Mapping[str, Path]) -> list[Certificate]:
    """The certificates by their keys of the configuration."""
    return [_look(key, path) for key, path in files.items()]


def _look(key: str, path: Path) -> Certificate:
    try:
        with path.open("rb") as stream:
            chain = x509.load_pem_x509_certificates(stream.read(CERTIFICATE_BYTES_MAX))
    except OSError as error:
        return Certificate(key, None, f"cannot read {path}: {error.strerror}")
    except ValueError as error:
        return Certificate(key, None, f"{path} is no certificate: {error}")
    return Certificate(key, min(int(each.not_valid_after_utc.timestamp() * 1000) for each in chain), None)
