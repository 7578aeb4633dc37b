"""The bridge's answers: which acknowledgement means what, and what a broker that is not there means."""

import asyncio
import socket

import pytest
from pydantic import ValidationError

from edge.bridge import BridgeSender, outcome_of
from edge.destination_config import BridgeDestination
from edge.forward.messages import MessageFormat, PayloadFormat, messages_of
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled, TooLarge


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (0x00, Accepted),
        (0x10, Accepted),
        (0x80, Failed),
        (0x83, Failed),
        (0x87, Paused),
        (0x90, Refused),
        (0x91, Failed),
        (0x95, TooLarge),
        (0x97, Throttled),
        (0x99, Refused),
    ],
)
def test_only_a_reason_below_0x80_is_an_acceptance(reason: int, kind: type[Outcome]) -> None:
    assert isinstance(outcome_of(reason, "accept"), kind)


def test_a_message_that_nobody_got_is_kept_if_that_is_wanted() -> None:
    assert isinstance(outcome_of(0x10, "hold"), Throttled)
    assert isinstance(outcome_of(0x00, "hold"), Accepted)


def bridge(**changes: object) -> BridgeSender:
    return BridgeSender(BridgeDestination(name="up", kind="mqtt", **changes))  # type: ignore[arg-type]


def send(sender: BridgeSender) -> Outcome:
    async def once() -> Outcome:
        try:
            return await sender.send(b'{"topic":"a","payload":"b"}\n')
        finally:
            await sender.aclose()

    return asyncio.run(once())


def test_a_broker_that_is_not_there_is_a_failure_with_its_cause() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        outcome = send(bridge(port=taken.getsockname()[1]))
    assert isinstance(outcome, Failed)
    assert outcome.cause == "refused"


def test_a_broker_that_says_nothing_is_a_failure_within_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome = send(bridge(port=silent.getsockname()[1], connect_timeout_s=0.2))
    assert isinstance(outcome, Failed)
    assert outcome.cause == "timeout"


def test_a_password_file_that_is_not_there_is_a_failure() -> None:
    outcome = send(bridge(username="me", password_file="/nowhere/at/all"))
    assert isinstance(outcome, Failed)
    assert "/nowhere" in outcome.message


def test_holding_what_has_no_subscribers_is_refused_where_the_protocol_does_not_tell_of_them() -> None:
    with pytest.raises(ValidationError, match="without_subscribers: expected 'accept' with protocol"):
        bridge(protocol="3.1.1", without_subscribers="hold")


def test_the_topic_has_the_fields_of_the_message() -> None:
    form = MessageFormat("gw", "x/{kind}/{site}/{device}", PayloadFormat.LINES)
    assert form.topic_of("s", "{kind}", "reading") == "x/reading/s/{kind}", "a name is no field"
    assert messages_of(b"") == []
