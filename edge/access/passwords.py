"""Names, passwords and other secrets: what is accepted, and in what form it is kept.

Promises: a password is kept as Argon2id only, at the cost that OWASP's Password Storage Cheat Sheet gives (19 MiB, two
passes, one lane: about 30 ms on a small machine); what a machine made up (session, token, set-up link) has 256 bits of
chance and is kept as SHA-256 only, which is enough for what cannot be guessed. A name that does not exist costs a
login as much time as a wrong password.
"""

import hashlib
import hmac
import re
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from edge.access.errors import Refused

PASSWORD_CHARS_MIN = 12
PASSWORD_BYTES_MAX = 1024  # more words than anybody types; hashing a megabyte would be work for nothing
SECRET_BYTES = 32
SECRET_CHARS_MAX = 128  # of one that somebody sends: ours have 43 and a prefix
TOKEN_PREFIX = "tg_"  # noqa: S105  # by it scanners of leaked secrets find ours
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_CSRF = b"tidegate csrf 1"

RandomBytes = Callable[[int], bytes]


def standard_hasher() -> PasswordHasher:
    """The one for real accounts."""
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Passwords:
    """Hashes and checks; `hasher` sets the cost."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self._nobodys = hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """What is kept of it. Raises `Refused`."""
        return self._hasher.hash(checked_password(password))

    def is_right(self, kept: str | None, password: str) -> bool:
        """Whether the password is the one that was hashed; None (no such account) takes as long and is False."""
        try:
            self._hasher.verify(kept or self._nobodys, _normal(password))
        except (VerificationError, InvalidHashError, Refused):
            return False
        return kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether it was hashed at another cost than today's."""
        return self._hasher.check_needs_rehash(kept)


def checked_name(name: str, what: str = "name") -> str:
    """The name of an account or token. Raises `Refused`."""
    if not _NAME.fullmatch(name):
        raise Refused(what, "expected 1 to 32 of a-z, 0-9, dot, hyphen and underscore, and a letter or digit first")
    return name


def checked_password(password: str) -> str:
    """A password that may be set, in the one form in which it is hashed. Raises `Refused`."""
    normal = _normal(password)
    if len(normal) < PASSWORD_CHARS_MIN:
        raise Refused("password", f"expected at least {PASSWORD_CHARS_MIN} characters")
    if len(set(normal)) <= 2:
        raise Refused("password", "expected more than two different characters")
    return normal


def _normal(password: str) -> str:
    """The same for every keyboard (NFKC, as NIST SP 800-63B advises). Raises `Refused`."""
    if len(password) > PASSWORD_BYTES_MAX:
        raise Refused("password", f"expected at most {PASSWORD_BYTES_MAX} bytes")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in password):
        raise Refused("password", "expected no control characters")
    normal = unicodedata.normalize("NFKC", password)
    if len(normal.encode()) > PASSWORD_BYTES_MAX:
        raise Refused("password", f"expected at most {PASSWORD_BYTES_MAX} bytes")
    return normal


def new_secret(random_bytes: RandomBytes, prefix: str = "") -> str:
    """A secret for a machine to keep: 256 bits as URL-safe text."""
    return prefix + urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode("ascii")


def digest(secret: str) -> bytes:
    """What is kept of such a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def csrf_token(session_secret: str) -> str:
    """What a page sends back in a header to prove that it could read an answer of ours; belongs to one session."""
    return hmac.new(session_secret.encode("utf-8", "surrogateescape"), _CSRF, hashlib.sha256).hexdigest()


def same(given: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode("utf-8", "surrogateescape"))
