"""Certificates: when they end is said in time, and a replaced one is taken up without a restart."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge.access.settings import BadCertificate
from edge.certificate_watch import SAY_AGAIN_MS, CertificateWatch
from edge.certificates import WARN_MS, look_at
from edge.config import TlsSettings
from tests.edge.dashboard.kit import HeldClock
from tests.edge.test_http_server import certificate

DAY_MS = 86_400_000


def _watch(folder: Path, days: int = 90) -> tuple[CertificateWatch, HeldClock, int]:
    """A watch, its clock, which stands at the beginning, and when the certificate ends."""
    tls = certificate(folder, days)
    (found,) = look_at({"x": tls.cert_file})
    assert found.expires_ms is not None
    clock = HeldClock()
    clock.at_ms = found.expires_ms - days * DAY_MS
    return CertificateWatch(tls, None, clock), clock, found.expires_ms


def _shown(context: ssl.SSLContext) -> bytes | None:
    """The certificate that a server with this context shows in a handshake; without a socket."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    client, server = asking.wrap_bio(down, up), context.wrap_bio(up, down, server_side=True)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client.getpeercert(binary_form=True)


def test_the_end_is_said_thirty_days_ahead_and_once_a_day(tmp_path: Path) -> None:
    watch, clock, ends_ms = _watch(tmp_path)
    with capture_logs() as logs:
        watch.look()
        clock.at_ms = ends_ms - WARN_MS
        watch.look()
        assert [one.due for one in watch.status()] == [False]
        assert logs == []
        for at_ms, said in ((ends_ms - WARN_MS + 1, 1), (ends_ms - WARN_MS + SAY_AGAIN_MS, 1), (ends_ms + DAY_MS, 2)):
            clock.at_ms = at_ms
            watch.look()
            assert len(logs) == said
    assert [(one.key, one.expires_ms, one.due) for one in watch.status()] == [("api.tls.cert_file", ends_ms, True)]
    assert [each["days_left"] for each in logs] == [29, -1]


def test_a_certificate_that_went_away_or_is_none_is_said(tmp_path: Path) -> None:
    watch, _, _ = _watch(tmp_path)
    spoiled = tmp_path / "cert.pem"
    for spoil in (lambda: spoiled.write_text("none"), spoiled.unlink):
        spoil()
        with capture_logs() as logs:
            watch.look()
        (one,) = watch.status()
        assert one.due
        assert "cert.pem" in (one.problem or "")
        assert any(each["event"] == "a certificate needs to be renewed" for each in logs)


def test_the_brokers_certificate_of_ours_is_watched_too(tmp_path: Path) -> None:
    files = certificate(tmp_path, days=5)
    clock = HeldClock()
    watch = CertificateWatch(None, TlsSettings(cert_file=files.cert_file, key_file=files.key_file), clock)
    watch.look()
    assert [one.key for one in watch.status()] == ["mqtt.tls.cert_file"]
    assert watch.context is None


def test_a_replaced_certificate_is_taken_up_and_half_a_replacement_is_not(
    tmp_path: Path,
) -> None:
    watch, _, _ = _watch(tmp_path)
    old = (tmp_path / "cert.pem").read_bytes()
    assert watch.context is not None
    (tmp_path / "new").mkdir()
    new = certificate(tmp_path / "new", days=365)
    new.cert_file.replace(tmp_path / "cert.pem")
    with capture_logs() as logs:
        watch.take_up()
        assert [each["event"] for each in logs] == ["the new certificate cannot be used: the old one stays"]
        assert _shown(watch.context) == ssl.PEM_cert_to_DER_cert(old.decode())
        new.key_file.replace(tmp_path / "key.pem")
        watch.take_up()
        watch.take_up()
    assert [each["event"] for each in logs[1:]] == ["new certificate taken up"]
    assert _shown(watch.context) == ssl.PEM_cert_to_DER_cert((tmp_path / "cert.pem").read_text())


def test_a_gateway_does_not_start_with_a_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    tls.cert_file.write_text("none")
    with pytest.raises(BadCertificate):
        CertificateWatch(tls, None, HeldClock())
