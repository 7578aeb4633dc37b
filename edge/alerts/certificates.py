"""When a certificate ends, read from its PEM file."""

from pathlib import Path

from cryptography import x509


def expires_ms(path: Path) -> int | None:
    """The earliest end among the file's certificates, since 1970; None if it cannot be read: connecting says why."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return None
    return min(round(each.not_valid_after_utc.timestamp() * 1000) for each in found)
