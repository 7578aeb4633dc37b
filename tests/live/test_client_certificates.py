"""F32 of docs/faults.md from the side of a client: a broker that lets nobody in without a certificate that is good."""

import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.crash.load import Load
from tests.live.authority import Authority
from tests.live.house import house, own_broker, quiet_port, wait_until

pytestmark = [pytest.mark.live, own_broker]
DEVICES = 20


@pytest.mark.parametrize(
    ("bad", "word"),
    [({"from_days": -2, "to_days": -1}, "certificate expired"), ({"revoked": True}, "certificate revoked")],
    ids=["expired", "revoked"],
)
def test_f32_a_gateway_whose_certificate_is_refused_says_so_and_loses_nothing(
    tmp_path: Path, bad: dict[str, Any], word: str
) -> None:
    """The devices, who come by another door, go on; the broker holds for the gateway's session until it is renewed."""
    authority = Authority(tmp_path / "tls")
    server = authority.issue("server")
    good, refused, own = authority.issue("good"), authority.issue("refused", **bad), authority.issue("own")
    door = quiet_port()
    extra = (
        f"cafile {authority.ca_file}\ncertfile {server[0]}\nkeyfile {server[1]}\nrequire_certificate true\n"
        f"crlfile {authority.crl_file}\nlistener {door} 127.0.0.1"
    )
    tls = {"ca_file": str(authority.ca_file), "cert_file": str(own[0]), "key_file": str(own[1])}
    with house(tmp_path, broker_extra=extra, edge={"mqtt": {"tls": tls}}) as lab:

        def install(files: tuple[Path, Path]) -> None:
            for new, place in zip(files, own, strict=True):
                shutil.copy(new, place)

        lab.cloud.start()
        lab.gateway.start()
        lab.gateway.wait_for("broker connected")
        install(refused)
        lab.broker.restart()
        wait_until(lambda: word in (lab.status().devices_link.message or ""), "the gateway says why")
        assert lab.status().devices_link.cause == "tls"
        load = Load(door, lab.topic_root, Random(32), devices=DEVICES)
        load.publish_all()
        load.leave()
        assert lab.status().devices_link.state == "down"
        install(good)  # and nobody restarts the gateway
        wait_until(lambda: lab.status().ledger.delivered >= len(load.sent), "the cloud has all")
        assert lab.status().devices_link.state == "up"
        assert lab.prove_against(load.truth()).holds
