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
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from edge.access.requires import requires
from edge.access.roles import Role
from edge.api_data import STORE_RETRY_AFTER_S, InStore
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
from edge.problems import Problem, read_body
from edge.store import StoreError
from sensors.clock import Clock
from sensors.commands import ArgumentError
from sensors.firmware import IMAGE_BYTES_MAX, FirmwareError, Manifest
from sensors.topics import TopicError, check_level

COMMAND_BODY_BYTES_MAX = 16 * 1024
FIRMWARE_BODY_BYTES_MAX = 4 * (IMAGE_BYTES_MAX + 2) // 3 + COMMAND_BODY_BYTES_MAX
Answer = dict[str, Any]
Body = TypeVar("Body")


class _NewCommand(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    args: dict[str, str | int | float | bool | list[str]] = {}
    ttl_s: int = DEFAULT_TTL_S


class _NewImage(msgspec.Struct, forbid_unknown_fields=True):
    manifest: Manifest
    image_base64: str


class _NewRollout(msgspec.Struct, forbid_unknown_fields=True):
    devices: str = "*"
    percent: int = 100
    halt_percent: int = DEFAULT_HALT_PERCENT


class DownlinkApi:
    """The routes."""

    def __init__(self, desk: Desk, in_store: InStore, clock: Clock) -> None:
        self._desk = desk
        self._in_store = in_store
        self._clock = clock

    def router(self) -> APIRouter:
        """The routes, to be mounted."""
        router = APIRouter(prefix="/api/v1")
        commands = "/devices/{site}/{device}/commands"
        for method, path, handler, status in (
            ("GET", commands, self._list, HTTPStatus.OK),
            ("POST", commands, self._issue, HTTPStatus.ACCEPTED),
            ("GET", commands + "/{command_id}", self._show, HTTPStatus.OK),
            ("DELETE", commands + "/{command_id}", self._cancel, HTTPStatus.OK),
            ("GET", "/firmware", self._firmware, HTTPStatus.OK),
            ("POST", "/firmware", self._add_image, HTTPStatus.ACCEPTED),
            ("DELETE", "/firmware/{name}", self._remove_image, HTTPStatus.OK),
            ("POST", "/firmware/{name}/rollouts", self._roll_out, HTTPStatus.ACCEPTED),
            ("DELETE", "/rollouts/{number}", self._cancel_rollout, HTTPStatus.OK),
        ):
            router.add_api_route(path, self._answering(handler, status), methods=[method], status_code=status)
        return router

    # -- commands

    async def _list(self, request: Request) -> Answer:
        site, device = self._name(request)
        told: Answer = await self._in_store(
            device_commands, self._desk.downlinks.commands, site, device, self._clock.monotonic_ms()
        )
        return told

    async def _issue(self, request: Request) -> Answer:
        requires(Role.OPERATOR)(request)
        site, device = self._name(request)
        new = await _body(request, _NewCommand, COMMAND_BODY_BYTES_MAX)
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

    async def _show(self, request: Request) -> Answer:
        return self._document(await self._found(request, self._desk.downlinks.commands.get))

    async def _cancel(self, request: Request) -> Answer:
        requires(Role.OPERATOR)(request)
        return self._document(await self._found(request, self._desk.downlinks.commands.cancel, self._clock.wall_ms()))

    async def _found(self, request: Request, call: Callable[..., CommandRecord | None], *more: object) -> CommandRecord:
        site, device = self._name(request)
        command_id = request.path_params["command_id"]
        record: CommandRecord | None = await self._in_store(call, site, device, command_id, *more)
        if record is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"{site}/{device} has no command {command_id[:64]}")
        return record

    def _document(self, record: CommandRecord) -> Answer:
        ttl_left_s = self._desk.downlinks.commands.ttl_left_s(record, self._clock.monotonic_ms())
        return command_document(record, ttl_left_s)

    @staticmethod
    def _name(request: Request) -> tuple[str, str]:
        try:
            return (
                check_level(request.path_params["site"], "site"),
                check_level(request.path_params["device"], "device"),
            )
        except TopicError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None

    # -- firmware

    async def _firmware(self, request: Request) -> Answer:  # noqa: ARG002  # as all handlers
        told: Answer = await self._in_store(firmware_document, self._desk.downlinks)
        return told

    async def _add_image(self, request: Request) -> Answer:
        requires(Role.OPERATOR)(request)
        new = await _body(request, _NewImage, FIRMWARE_BODY_BYTES_MAX)
        try:
            image = b64decode(new.image_base64, validate=True)
            add = self._desk.downlinks.images.add
            return image_document(await self._in_store(add, new.manifest, image, self._clock.wall_ms()))
        except (FirmwareError, Base64Error) as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None

    async def _remove_image(self, request: Request) -> Answer:
        requires(Role.OPERATOR)(request)
        manifest = await self._image(request)
        await self._in_store(self._desk.downlinks.images.remove, manifest.sha256)
        return {"removed": manifest.sha256}

    async def _roll_out(self, request: Request) -> Answer:
        requires(Role.OPERATOR)(request)
        manifest = await self._image(request)
        new = await _body(request, _NewRollout, COMMAND_BODY_BYTES_MAX)
        try:
            start = self._desk.downlinks.rollouts.start
            rollout = await self._in_store(
                start, manifest, new.devices, new.percent, new.halt_percent, self._clock.wall_ms()
            )
        except FirmwareError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        return await self._rollout(rollout)

    async def _cancel_rollout(self, request: Request) -> Answer:
        requires(Role.OPERATOR)(request)
        raw = request.path_params["number"]
        number = int(raw) if raw.isascii() and raw.isdecimal() and len(raw) <= 9 else 0
        rollout = await self._in_store(self._desk.downlinks.rollouts.cancel, number, self._clock.wall_ms())
        if rollout is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no rollout {raw[:16]}")
        return await self._rollout(rollout)

    async def _rollout(self, rollout: Rollout) -> Answer:
        told: Answer = await self._in_store(rollout_document, self._desk.downlinks, rollout)
        return told

    async def _image(self, request: Request) -> Manifest:
        name = request.path_params["name"]
        manifest: Manifest | None = await self._in_store(self._desk.downlinks.images.find, name)
        if manifest is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no image {name[:64]}: expected a version or a SHA-256")
        return manifest

    @staticmethod
    def _answering(
        handler: Callable[[Request], Awaitable[Answer]], status: HTTPStatus
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return JSONResponse(await handler(request), status)
            except Problem as problem:
                return problem.response()
            except StoreError as error:
                retry_after = {"Retry-After": str(STORE_RETRY_AFTER_S)}
                return Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"the store refuses: {error}", retry_after).response()

        return answer


async def _body(request: Request, kind: type[Body], bytes_max: int) -> Body:
    body = await read_body(request, bytes_max)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"body: {error}") from None
