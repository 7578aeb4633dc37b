"""Request bodies within bounds: how many bytes, how slowly, and how large once decompressed.

Promises: never holds more than `bytes_max` + one network chunk of a body, compressed or not; a sender slower than
BODY_GRACE_S plus BODY_RATE_MIN is given up on (a slow-loris body holds a connection for seconds, not for ever).
"""

import asyncio
import gzip
import io
import zlib
from collections.abc import AsyncIterator
from typing import Final

BODY_GRACE_S: Final = 10.0  # time to begin with; a stalled body is reaped after this
BODY_RATE_MIN: Final = 500  # bytes/s that buy more time: a tenth of the slowest link we serve (5 kB/s)


class BodyTooLargeError(Exception):
    """The body, or what it decompresses to, is larger than `bytes_max`; the text is InfluxDB's."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__("unable to read data: points batch is too large")
        self.bytes_max = bytes_max


class BodyTooSlowError(Exception):
    """The body stopped coming, or came slower than BODY_RATE_MIN."""

    def __init__(self, received_bytes: int) -> None:
        super().__init__(
            f"the body came too slowly ({received_bytes} bytes); at least {BODY_RATE_MIN} bytes/s are expected"
        )
        self.received_bytes = received_bytes


class BodyEncodingError(Exception):
    """The body is not what its Content-Encoding says."""


async def read_body(chunks: AsyncIterator[bytes], *, bytes_max: int) -> bytes:
    """Collect a body as it was sent. Raises BodyTooLargeError and BodyTooSlowError."""
    body = bytearray()
    started_s = asyncio.get_running_loop().time()
    while True:
        try:
            async with asyncio.timeout_at(started_s + BODY_GRACE_S + len(body) / BODY_RATE_MIN):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise BodyTooSlowError(len(body)) from None
        if chunk is None:
            return bytes(body)
        body += chunk
        if len(body) > bytes_max:
            raise BodyTooLargeError(bytes_max)


def inflate(body: bytes, encoding: str, *, bytes_max: int) -> bytes:
    """Return the body decompressed (`gzip`) or as it is (`identity` or nothing).

    Raises BodyTooLargeError before holding more than `bytes_max` + 1 bytes, and BodyEncodingError.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise BodyEncodingError(f"unable to read data: Content-Encoding {encoding!r}; expected gzip or identity")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            data = stream.read(bytes_max + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BodyEncodingError(f"unable to read data: gzip: {error}") from error
    if len(data) > bytes_max:
        raise BodyTooLargeError(bytes_max)
    return data
