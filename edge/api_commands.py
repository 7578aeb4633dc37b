"""The part of the HTTP API that talks down to devices: commands, firmware images and rollouts.

    POST   /api/v1/devices/SITE/DEVICE/commands        {"name": "set-interval", "args": {"interval_s": 60}, "ttl_s": 60}
    GET    /api/v1/devices/SITE/DEVICE/commands[/ID]   newest first, or one
    DELETE /api/v1/devices/SITE/DEVICE/commands/ID     call it back
    GET    /api/v1/firmware                            images, rollouts, and what devices run
    POST   /api/v1/firmware                            {"manifest": {...}, "image_base64": "..."}
    DELETE /api/v1/firmware/NAME                       NAME: version or SHA-256
    POST   /api/v1/firmware/NAME/rollouts              {"devices": "site/*", "percent": 10, "halt_percent": 20}
    DELETE /api/v1/rollouts/ID                         stop it

Promises: what changes something takes an operator; 202 means durable; errors
are problem details (RFC 9457), and then nothing was changed. A shell: it decides nothing.
"""

from base64 import b64decode
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request

from edge.api_data import OPERATOR, InStore
from edge.api_description import problems, takes
from edge.api_documents import (
    CommandDocument,
    CommandList,
    FirmwareDocument,
    ImageDocument,
    Removed,
    RolloutDocument,
)
from edge.commands.book import DEFAULT_TTL_S, CommandRecord, TooManyCommands
from edge.commands.documents import (
    command_document,
    device_commands,
    firmware_document,
    image_document,
    rollout_document,
)
from edge.desk import Desk
from edge.firmware.rollouts import DEFAULT_HALT_PERCENT, Rollout
from edge.problems import Problem, json_body
from sensors.clock import Clock
from sensors.commands import TTL_S_MAX, ArgumentError
from sensors.firmware import IMAGE_BYTES_MAX, FirmwareError, Manifest
from sensors.topics import TopicError, check_level

COMMAND_BODY_BYTES_MAX = 16 * 1024
FIRMWARE_BODY_BYTES_MAX = 4 * (IMAGE_BYTES_MAX + 2) // 3 + COMMAND_BODY_BYTES_MAX
ROLLOUT_MAX = 2**53
Answer = dict[str, Any]
Site = Annotated[str, Path(description="the device's site", examples=["hall"])]
Device = Annotated[str, Path(description="the device's name", examples=["pump-1"])]
CommandId = Annotated[str, Path(description="as it was told when the command was given")]
ImageName = Annotated[str, Path(description="a version or a SHA-256", examples=["1.2.0"])]
NEW_IMAGE_EXAMPLE = {
    "manifest": {
        "version": "1.2.0", "size": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "chunk_bytes": 256, "device_types": ["climate"], "signature": "",
    },
    "image_base64": "YWJj",
}  # fmt: skip


class _NewCommand(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[
        str, msgspec.Meta(description="set-interval, report-now, reboot, or what the device's firmware knows")
    ]
    args: dict[str, str | int | float | bool | list[str]] = {}
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=TTL_S_MAX, description="after so many seconds it is given up")] = (
        DEFAULT_TTL_S
    )


class _NewImage(msgspec.Struct, forbid_unknown_fields=True):
    manifest: Manifest
    image_base64: Annotated[str, msgspec.Meta(description="the image, as the signed manifest describes it")]


class _NewRollout(msgspec.Struct, forbid_unknown_fields=True):
    devices: Annotated[str, msgspec.Meta(description="a glob over site/device")] = "*"
    percent: Annotated[int, msgspec.Meta(ge=1, le=100, description="so many of them, chosen by their names")] = 100
    halt_percent: Annotated[int, msgspec.Meta(ge=1, le=100, description="it halts when more of those tried failed")] = (
        DEFAULT_HALT_PERCENT
    )


class DownlinkApi:
    """The routes."""

    def __init__(self, desk: Desk, in_store: InStore, clock: Clock) -> None:
        self._desk = desk
        self._in_store = in_store
        self._clock = clock

    def router(self) -> APIRouter:
        """The routes, to be mounted."""
        router = APIRouter(prefix="/api/v1")
        self._add_commands(router)
        self._add_firmware(router)
        return router

    def _add_commands(self, router: APIRouter) -> None:
        add, path = router.add_api_route, "/devices/{site}/{device}/commands"
        tags: list[str | Enum] = ["Commands"]
        add(path, self.commands, response_model=CommandList, tags=tags, responses=problems(400))
        add(
            path, self.issue_command, methods=["POST"], response_model=CommandDocument, tags=tags,
            status_code=HTTPStatus.ACCEPTED, dependencies=OPERATOR, responses=problems(400, 404, 409),
            openapi_extra=takes(_NewCommand, {"name": "set-interval", "args": {"interval_s": 60}, "ttl_s": 3600}),
        )  # fmt: skip
        one, found = path + "/{command_id}", problems(400, 404)
        add(one, self.command, response_model=CommandDocument, tags=tags, responses=found)
        add(
            one, self.cancel_command, methods=["DELETE"], response_model=CommandDocument, tags=tags,
            dependencies=OPERATOR, responses=found,
        )  # fmt: skip

    def _add_firmware(self, router: APIRouter) -> None:
        add, accepted = router.add_api_route, HTTPStatus.ACCEPTED
        tags: list[str | Enum] = ["Firmware"]
        add("/firmware", self.firmware, response_model=FirmwareDocument, tags=tags)
        add(
            "/firmware", self.add_image, methods=["POST"], response_model=ImageDocument, tags=tags,
            status_code=accepted, dependencies=OPERATOR, responses=problems(400),
            openapi_extra=takes(_NewImage, NEW_IMAGE_EXAMPLE),
        )  # fmt: skip
        add(
            "/firmware/{name}", self.remove_image, methods=["DELETE"], response_model=Removed, tags=tags,
            dependencies=OPERATOR, responses=problems(404),
        )  # fmt: skip
        add(
            "/firmware/{name}/rollouts", self.roll_out, methods=["POST"], response_model=RolloutDocument, tags=tags,
            status_code=accepted, dependencies=OPERATOR, responses=problems(400, 404),
            openapi_extra=takes(_NewRollout, {"devices": "hall/*", "percent": 10, "halt_percent": 20}),
        )  # fmt: skip
        add(
            "/rollouts/{number}", self.cancel_rollout, methods=["DELETE"], response_model=RolloutDocument, tags=tags,
            dependencies=OPERATOR, responses=problems(404),
        )  # fmt: skip

    # -- commands

    async def commands(self, site: Site, device: Device) -> Answer:
        """The newest commands of a device."""
        site, device = _levels(site, device)
        book, now_ms = self._desk.downlinks.commands, self._clock.monotonic_ms()
        told: Answer = await self._in_store(device_commands, book, site, device, now_ms)
        return told

    async def issue_command(self, site: Site, device: Device, request: Request) -> Answer:
        """Tell a device something, as soon as it is heard."""
        site, device = _levels(site, device)
        new = await json_body(request, _NewCommand, COMMAND_BODY_BYTES_MAX)
        if not await self._in_store(self._desk.downlinks.knows, site, device):
            raise Problem(HTTPStatus.NOT_FOUND, f"no device {site}/{device} was ever heard")
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
        try:
            issue = self._desk.downlinks.commands.issue
            record = await self._in_store(issue, site, device, new.name, new.args, new.ttl_s, now_ms, wall_ms)
        except ArgumentError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        except TooManyCommands as error:
            raise Problem(HTTPStatus.CONFLICT, str(error)) from None
        return self._document(record)

    async def command(self, site: Site, device: Device, command_id: CommandId) -> Answer:
        """One command, and what became of it."""
        get = self._desk.downlinks.commands.get
        return self._document(await self._found(site, device, command_id, get))

    async def cancel_command(self, site: Site, device: Device, command_id: CommandId) -> Answer:
        """Call a command back, if it was not carried out."""
        cancel, wall_ms = self._desk.downlinks.commands.cancel, self._clock.wall_ms()
        return self._document(await self._found(site, device, command_id, cancel, wall_ms))

    async def _found(
        self, site: str, device: str, command_id: str, call: Callable[..., CommandRecord | None], *more: object
    ) -> CommandRecord:
        site, device = _levels(site, device)
        record: CommandRecord | None = await self._in_store(call, site, device, command_id, *more)
        if record is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"{site}/{device} has no command {command_id[:64]}")
        return record

    def _document(self, record: CommandRecord) -> Answer:
        ttl_left_s = self._desk.downlinks.commands.ttl_left_s(record, self._clock.monotonic_ms())
        return command_document(record, ttl_left_s)

    # -- firmware

    async def firmware(self) -> Answer:
        """Firmware images, rollouts, and what devices run."""
        told: Answer = await self._in_store(firmware_document, self._desk.downlinks)
        return told

    async def add_image(self, request: Request) -> Answer:
        """Keep a signed firmware image."""
        new = await json_body(request, _NewImage, FIRMWARE_BODY_BYTES_MAX)
        try:
            image = _decoded(new.image_base64)
            add = self._desk.downlinks.images.add
            return image_document(await self._in_store(add, new.manifest, image, self._clock.wall_ms()))
        except FirmwareError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None

    async def remove_image(self, name: ImageName) -> Answer:
        """Remove a firmware image."""
        manifest = await self._image(name)
        await self._in_store(self._desk.downlinks.images.remove, manifest.sha256)
        return {"removed": manifest.sha256}

    async def roll_out(self, name: ImageName, request: Request) -> Answer:
        """Update devices to an image, a few at a time; or widen a rollout of it."""
        new = await json_body(request, _NewRollout, COMMAND_BODY_BYTES_MAX)
        manifest = await self._image(name)
        try:
            start = self._desk.downlinks.rollouts.start
            rollout = await self._in_store(
                start, manifest, new.devices, new.percent, new.halt_percent, self._clock.wall_ms()
            )
        except FirmwareError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        return await self._rollout(rollout)

    async def cancel_rollout(
        self, number: Annotated[int, Path(ge=1, le=ROLLOUT_MAX, description="as the list tells it")]
    ) -> Answer:
        """Stop a rollout, and call back what was not sent."""
        rollout = await self._in_store(self._desk.downlinks.rollouts.cancel, number, self._clock.wall_ms())
        if rollout is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no rollout {number}")
        return await self._rollout(rollout)

    async def _rollout(self, rollout: Rollout) -> Answer:
        told: Answer = await self._in_store(rollout_document, self._desk.downlinks, rollout)
        return told

    async def _image(self, name: str) -> Manifest:
        manifest: Manifest | None = await self._in_store(self._desk.downlinks.images.find, name)
        if manifest is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no image {name[:64]}: expected a version or a SHA-256")
        return manifest


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error is one; text that is not ASCII raises the plain one
        raise Problem(HTTPStatus.BAD_REQUEST, f"image_base64: {error}") from None


def _levels(site: str, device: str) -> tuple[str, str]:
    try:
        return check_level(site, "site"), check_level(device, "device")
    except TopicError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
