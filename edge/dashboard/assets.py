"""Files of the pages under addresses that hold a digest of them all, so that a browser asks for each just once.

Promises: what `/static/DIGEST/...` answers never changes and may be kept for a year; another version has another
digest, and its page, which is asked for anew each time, names the new addresses. Files name each other relatively, so
the digest stands in the pages alone. Without a digest, or with that of another version (a page that was open while the
gateway was updated), the file of now is answered, to be asked for anew each time.
"""

import hashlib
import re
from http import HTTPStatus
from pathlib import Path

from fastapi import Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

KEPT_S = 31_536_000  # a year: RFC 2616 asked servers to promise no more, and caches expect no more
DIGEST_CHARS = 16  # of SHA-256 in hex: 64 bits tell apart more versions than there will ever be
ASK_AGAIN = "no-cache"
_DIGEST = re.compile(rf"[0-9a-f]{{{DIGEST_CHARS}}}")


class Assets(StaticFiles):
    """A folder of files, to be mounted at `path`. `shared`: caches on the way may keep them, too."""

    def __init__(self, path: str, folder: Path, *, shared: bool) -> None:
        super().__init__(directory=folder)
        self._path = path
        self._digest = digest_of(folder)
        self._kept = f"{'public' if shared else 'private'}, max-age={KEPT_S}, immutable"

    def named(self, page: str) -> str:
        """A page whose addresses of these files have the digest."""
        return page.replace(f'"{self._path}/', f'"{self._path}/{self._digest}/')

    async def get_response(self, path: str, scope: Scope) -> Response:
        """As Starlette does, with how long it may be kept."""
        first, _, rest = path.partition("/")
        is_digest = _DIGEST.fullmatch(first) is not None
        answer = await super().get_response(rest if is_digest else path, scope)
        is_kept = first == self._digest and answer.status_code in (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED)
        answer.headers["Cache-Control"] = self._kept if is_kept else ASK_AGAIN
        return answer


def digest_of(folder: Path) -> str:
    """Of the names and contents of all files in it."""
    whole = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        whole.update(f"{file.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()[:DIGEST_CHARS]
