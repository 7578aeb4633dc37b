"""Commands and firmware on the wire: round trips, refusals that say what was expected, and signatures."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.commands import (
    ArgumentError,
    Command,
    CommandAck,
    check_arguments,
    decode_command,
    decode_command_ack,
    encode_command,
    encode_command_ack,
)
from sensors.firmware import (
    Chunk,
    FirmwareAsk,
    FirmwareError,
    check_manifest,
    decode_ask,
    decode_chunk,
    decode_manifest,
    describe_image,
    encode_ask,
    encode_chunk,
    encode_manifest,
    is_image,
    manifest_arguments,
    manifest_from_arguments,
    public_key_of,
    sign,
    verify,
    version_key,
)
from sensors.messages import MessageError

KEY = bytes(range(32))
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
SIGNED = sign(describe_image(b"image" * 100, "1.4.0", ("node",)), KEY)


@given(ids, st.text(min_size=1, max_size=32), st.integers(0, 1000), st.integers(0, 2**40))
def test_a_command_decodes_to_what_was_encoded(number: str, name: str, ttl_s: int, at_ms: int) -> None:
    command = Command(number, name, {"interval_s": 60, "types": ["a"]}, at_ms, ttl_s)
    assert decode_command(encode_command(command)) == command


@given(ids, st.sampled_from(["ok", "refused", "failed", "expired"]), st.text(max_size=200))
def test_an_acknowledgement_decodes_to_what_was_encoded(number: str, result: Any, detail: str) -> None:
    ack = CommandAck(number, result, detail)
    assert decode_command_ack(encode_command_ack(ack)) == ack


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_raise_a_message_error(payload: bytes) -> None:
    for decode in (decode_command, decode_command_ack, decode_ask, decode_chunk):
        with suppress(MessageError):
            decode(payload)


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("dance", {}, "unknown: expected set-interval, reboot, report-now, start-update"),
        ("reboot", {"now": True}, "expected arguments none, found now"),
        ("set-interval", {}, "expected arguments interval_s, found none"),
        ("set-interval", {"interval_s": "60"}, "interval_s is '60': expected 0.01 to 86400"),
        ("set-interval", {"interval_s": True}, "interval_s is True"),
        ("set-interval", {"interval_s": float("nan")}, "interval_s is nan"),
        ("set-interval", {"interval_s": 86_401}, "expected 0.01 to 86400"),
    ],
)
def test_arguments_that_a_command_does_not_take_are_named(name: str, args: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        check_arguments(name, args)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 2**32 - 1))
def test_chunks_and_asks_come_back(data: bytes, number: int) -> None:
    assert decode_chunk(encode_chunk(Chunk("0123456789abcdef", number, data))) == ("0123456789abcdef", number, data)
    ask = FirmwareAsk("0123456789abcdef", number % 1000, 1 + number % 32)
    assert decode_ask(encode_ask(ask)) == ask


def test_a_manifest_survives_a_file_and_the_wire_with_its_signature() -> None:
    assert verify(SIGNED, public_key_of(KEY))
    assert decode_manifest(encode_manifest(SIGNED)) == SIGNED
    assert manifest_from_arguments(manifest_arguments(SIGNED)) == SIGNED
    assert is_image(SIGNED, b"image" * 100)
    assert not is_image(SIGNED, b"imagf" * 100)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.4.1"},
        {"size": 501},
        {"sha256": "0" * 64},
        {"chunk_bytes": 512},
        {"device_types": ("node", "other")},
        {"signature": "0" * 128},
        {"signature": ""},
        {"signature": "not hex"},
    ],
)
def test_a_signature_covers_every_member(change: dict[str, Any]) -> None:
    assert not verify(msgspec.structs.replace(SIGNED, **change), public_key_of(KEY))


def test_another_key_did_not_sign_it() -> None:
    assert not verify(SIGNED, public_key_of(bytes(32)))
    assert not verify(SIGNED, "zz")


def test_versions_are_compared_by_number() -> None:
    order = ["0.9", "0.10", "1.0.0", "1.0.0.1", "1.2", "1.10"]
    assert sorted(order, key=version_key) == order
    assert version_key("1.0") == version_key("1.0.0")


@pytest.mark.parametrize("version", ["", "1", "1.x", "01.2", "1.2.3.4.5", "1.2-rc1"])
def test_a_version_that_cannot_be_compared_is_refused(version: str) -> None:
    with pytest.raises(FirmwareError, match=r"expected two to four numbers with dots"):
        version_key(version)


def test_what_is_wrong_with_a_manifest_is_named() -> None:
    for change, words in (
        ({"size": 0}, "size is 0"),
        ({"sha256": "x"}, "sha256"),
        ({"chunk_bytes": 1}, "chunk_bytes is 1"),
        ({"device_types": ()}, "device_types"),
    ):
        with pytest.raises(FirmwareError, match=words):
            check_manifest(msgspec.structs.replace(SIGNED, **change))
