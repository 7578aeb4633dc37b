"""Commands on the wire: `cmd` (gateway -> device) and `cmd/ack` (device -> gateway).

    cmd      {"id":"12-9f31c2aa","name":"set-interval","args":{"interval_s":60},
              "issued_at_ms":1767226740000,"ttl_s":3600}
    cmd/ack  {"id":"12-9f31c2aa","result":"ok","detail":""}

`id` names the command for ever: a device that has carried it out says the same again and does nothing. `ttl_s` is what
is left of its life when it is sent; a device whose clock is wrong can still count it from the arrival. `result` is `ok`
(done), `refused` (unknown, or arguments that the device does not take), `failed` (tried in vain) or `expired`.

Promises: what encodes decodes to the same; a message that does not decode raises `MessageError`, which says what was
expected; unknown members are ignored so that either side can be newer than the other.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

import msgspec

from sensors.messages import MessageError

ID_CHARS_MAX = 40  # a number of 64 bits, a dash and a token, with room
NAME_CHARS_MAX = 32
DETAIL_CHARS_MAX = 200  # a sentence; more would cost a radio more than it tells
ARGS_BYTES_MAX = 4096  # a firmware manifest is under 1 KB
TTL_S_MAX = 366 * 86_400
INTERVAL_S_MIN = 0.01
INTERVAL_S_MAX = 86_400.0  # a day: a device that is silent for longer cannot be told from a dead one

Argument = str | int | float | bool | list[str]
Arguments = Mapping[str, Argument]


class CommandName(StrEnum):
    """What devices of ours can be told to do."""

    SET_INTERVAL = "set-interval"
    REBOOT = "reboot"
    REPORT_NOW = "report-now"
    START_UPDATE = "start-update"


Result = Literal["ok", "refused", "failed", "expired"]


class ArgumentError(ValueError):
    """Arguments that a command does not take; the message names the one and what was expected."""


class Command(msgspec.Struct, frozen=True):
    """What a device is told to do."""

    id: str
    name: str
    args: dict[str, Argument] = {}
    issued_at_ms: int = 0
    ttl_s: int = TTL_S_MAX


class CommandAck(msgspec.Struct, frozen=True):
    """What became of it."""

    id: str
    result: Result
    detail: str = ""


_command_decoder = msgspec.json.Decoder(Command)
_ack_decoder = msgspec.json.Decoder(CommandAck)
_encoder = msgspec.json.Encoder()


def encode_command(command: Command) -> bytes:
    """The payload of `cmd`."""
    return _encoder.encode(command)


def encode_command_ack(ack: CommandAck) -> bytes:
    """The payload of `cmd/ack`."""
    return _encoder.encode(ack)


def decode_command(payload: bytes) -> Command:
    """Raises `MessageError`."""
    try:
        command = _command_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"cmd: {error}") from None
    _check_id("cmd.id", command.id)
    if not 1 <= len(command.name) <= NAME_CHARS_MAX:
        raise MessageError(f"cmd.name: expected 1 to {NAME_CHARS_MAX} characters")
    if not 0 <= command.ttl_s <= TTL_S_MAX:
        raise MessageError(f"cmd.ttl_s is {command.ttl_s}: expected 0 to {TTL_S_MAX}")
    return command


def decode_command_ack(payload: bytes) -> CommandAck:
    """Raises `MessageError`."""
    try:
        ack = _ack_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"cmd/ack: {error}") from None
    _check_id("cmd/ack.id", ack.id)
    if len(ack.detail) > DETAIL_CHARS_MAX:
        raise MessageError(f"cmd/ack.detail has {len(ack.detail)} characters: expected at most {DETAIL_CHARS_MAX}")
    return ack


def _check_id(what: str, text: str) -> None:
    if not (1 <= len(text) <= ID_CHARS_MAX and text.isascii() and text.isprintable()):
        raise MessageError(f"{what}: expected 1 to {ID_CHARS_MAX} printable ASCII characters")


def check_arguments(name: str, args: Arguments) -> None:
    """Whether a command of ours takes these arguments: the same check at the gateway (before it waits) and the device.

    Raises `ArgumentError` for an unknown command, a missing or unknown argument, or a value out of range.
    """
    expected = _ARGUMENTS.get(name)
    if expected is None:
        raise ArgumentError(f"command {name[:NAME_CHARS_MAX]!r} is unknown: expected {', '.join(_ARGUMENTS)}")
    if set(args) != expected:
        raise ArgumentError(f"{name}: expected arguments {_listed(expected)}, found {_listed(args)}")
    if name == CommandName.SET_INTERVAL:
        interval_s = args["interval_s"]
        if (
            isinstance(interval_s, bool)
            or not isinstance(interval_s, int | float)
            or not INTERVAL_S_MIN <= interval_s <= INTERVAL_S_MAX
        ):
            raise ArgumentError(
                f"set-interval: interval_s is {interval_s!r}: expected {INTERVAL_S_MIN:g} to {INTERVAL_S_MAX:g}"
            )
    if len(_encoder.encode(args)) > ARGS_BYTES_MAX:
        raise ArgumentError(f"{name}: expected at most {ARGS_BYTES_MAX} bytes of arguments")


def _listed(names: Mapping[str, Argument] | frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


_ARGUMENTS: Mapping[str, frozenset[str]] = {
    CommandName.SET_INTERVAL: frozenset({"interval_s"}),
    CommandName.REBOOT: frozenset(),
    CommandName.REPORT_NOW: frozenset(),
    CommandName.START_UPDATE: frozenset({"version", "size", "sha256", "chunk_bytes", "device_types", "signature"}),
}
