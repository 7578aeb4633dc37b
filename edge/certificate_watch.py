"""Looks after the gateway's certificates: takes up those that were replaced, and says in time when one ends.

Promises: looked at once every `EVERY_S`, in another thread; each thing to say is logged once and again a day later; a
certificate that was replaced by something unusable leaves the one in use as it is. It decides nothing.
"""

import asyncio
import ssl
from pathlib import Path

import structlog

from edge.access.settings import BadCertificate, ServerTls
from edge.certificates import Certificate, look_at
from edge.config_parts import TlsSettings
from edge.status import CertificateStatus
from sensors.clock import Clock

EVERY_S = 60.0
SAY_AGAIN_MS = 86_400_000

log = structlog.get_logger("gateway")


class CertificateWatch:
    """Over what the API serves TLS with and what the broker is shown. `context` is the API's.

    Raises `BadCertificate` on construction.

    Who serves (`take_up_forever`) and who tells of certificates (`run`) may be two processes.
    """

    def __init__(self, served: ServerTls | None, shown: TlsSettings | None, clock: Clock) -> None:
        self._tls = served
        self._clock = clock
        self._files: dict[str, Path] = {}
        if served is not None:
            self._files["api.tls.cert_file"] = served.cert_file
        if shown is not None and shown.cert_file is not None:
            self._files["mqtt.tls.cert_file"] = shown.cert_file
        self.context: ssl.SSLContext | None = None if self._tls is None else self._tls.context()
        self._served = self._stamp()
        self._seen: list[Certificate] = []
        self._said_ms: dict[Certificate, int] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while self._files:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(EVERY_S)

    async def take_up_forever(self) -> None:
        """Take up what was replaced until cancelled."""
        while True:
            await asyncio.to_thread(self.take_up)
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        """Look once."""
        self._seen = look_at(self._files)
        now_ms = self._clock.wall_ms()
        self._said_ms = {one: at_ms for one, at_ms in self._said_ms.items() if one in self._seen}
        for one in self._seen:
            if one.is_due(now_ms) and now_ms - self._said_ms.get(one, now_ms - SAY_AGAIN_MS) >= SAY_AGAIN_MS:
                self._said_ms[one] = now_ms
                log.warning(
                    "a certificate needs to be renewed",
                    key=one.key,
                    problem=one.problem,
                    days_left=None if one.expires_ms is None else (one.expires_ms - now_ms) // SAY_AGAIN_MS,
                )

    def status(self) -> tuple[CertificateStatus, ...]:
        """What was seen at the last look."""
        now_ms = self._clock.wall_ms()
        return tuple(
            CertificateStatus(key=one.key, expires_ms=one.expires_ms, problem=one.problem, due=one.is_due(now_ms))
            for one in self._seen
        )

    def take_up(self) -> None:
        """Serve from now on with what was replaced on the disk."""
        stamp = self._stamp()
        if self._tls is None or self.context is None or stamp in (None, self._served):
            return
        try:
            self._tls.context()  # tried aside: half of a replacement must not spoil the one in use
            self._tls.load(self.context)
        except BadCertificate as error:
            log.warning("the new certificate cannot be used: the old one stays", error=str(error))
        else:
            log.info("new certificate taken up", key="api.tls.cert_file")
        self._served = stamp

    def _stamp(self) -> tuple[int, int] | None:
        """What tells that certificate or key were replaced; None while one of them is not there."""
        if self._tls is None:
            return None
        try:
            return self._tls.cert_file.stat().st_mtime_ns, self._tls.key_file.stat().st_mtime_ns
        except OSError:
            return None
