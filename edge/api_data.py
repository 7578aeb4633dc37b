"""The part of the HTTP API that touches the data: readings by POST, the quarantine and the ledger.

    POST /api/v1/readings?site=S&device=D    SenML with identity, JSON or CBOR; answered only after the commit
    GET  /api/v1/quarantine[/ID]             what is there, in base64 (?order=newest&before=ID&reason=R&fields=id,topic)
    GET  /api/v1/quarantine/reasons          why, and how often
    POST /api/v1/quarantine/retry            {"ids": [1, 2]}
    POST /api/v1/quarantine/purge            {"ids": [1, 2]}, {"reason": "R"} or {"all": true}
    POST /api/v1/destinations/forget         {"name": "archive"}: one that is not configured any more
    GET  /api/v1/clocks[?after=KEY&limit=N]  devices, and what is known of their clocks
    GET  /api/v1/ledger[?site=S&device=D&open=true]
    POST /api/v1/ledger/resend               {"site": "S", "device": "D", "boot": 3, "ranges": [[0, 9], [12, 12]]}

Promises: posting readings needs the scope `ingest`, any other change an operator's rights; an
answer of 200 means committed; the same readings may be sent again (they count as duplicates); errors are problem
details (RFC 9457), and then nothing was kept.
A shell: it decides nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from edge.access.requires import requires
from edge.access.roles import Role, Scope
from edge.desk import DEVICES_SHOWN_MAX, Desk, DeviceStanding
from edge.destinations import UnknownDestination
from edge.feedback import Downlink
from edge.field_selection import Fields, wanted_fields
from edge.ingest import NotUnderstood
from edge.ledger_report import RANGES_MAX, LedgerReport
from edge.problems import Problem, read_body
from edge.quarantine import ID_MAX, ITEM_FIELDS, LIST_MAX, REASONS_OF, Retried, item_document
from edge.store import StoreError
from sensors.clock import Clock
from sensors.reading import SEQ_MAX
from sensors.topics import Kind, Topic, TopicError, check_level

RETRY_IDS_MAX = 100  # of one request: each is a transaction of its own, and the store thread has other work
PURGE_IDS_MAX = 10_000
IDS_BODY_BYTES_MAX = 256 * 1024
STORE_RETRY_AFTER_S = 5  # what a sender is told while the disk refuses
Answer = dict[str, Any]
Body = TypeVar("Body")


class InStore(Protocol):
    """Runs a call in the store's thread."""

    def __call__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """The call's answer."""


class _Ids(msgspec.Struct, forbid_unknown_fields=True):
    ids: list[int] = []
    all: bool = False
    reason: str | None = None


CLOCK_FIELDS = tuple(each.name for each in dataclass_fields(DeviceStanding))


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Missing(msgspec.Struct, forbid_unknown_fields=True):
    site: str
    device: str
    boot: int
    ranges: list[tuple[int, int]]


class DataApi:
    """The routes. `committed` is told after a commit, with the messages that devices are owed for it."""

    def __init__(
        self,
        desk: Desk,
        in_store: InStore,
        clock: Clock,
        message_bytes_max: int,
        committed: Callable[[list[Downlink]], None],
    ) -> None:
        self._desk = desk
        self._in_store = in_store
        self._clock = clock
        self._message_bytes_max = message_bytes_max
        self._committed = committed

    def router(self) -> APIRouter:
        """The routes, to be mounted."""
        router = APIRouter(prefix="/api/v1")
        for method, path, handler in (
            ("POST", "/readings", self._readings),
            ("GET", "/quarantine", self._list),
            ("GET", "/quarantine/reasons", self._reasons),
            ("GET", "/quarantine/{item_id}", self._show),
            ("POST", "/quarantine/retry", self._retry),
            ("POST", "/quarantine/purge", self._purge),
            ("GET", "/ledger", self._ledger),
            ("POST", "/destinations/forget", self._forget),
            ("POST", "/ledger/resend", self._resend),
            ("GET", "/clocks", self._devices),
        ):
            router.add_api_route(path, _answering(handler), methods=[method])
        return router

    async def _readings(self, request: Request) -> Answer:
        requires(Scope.INGEST)(request)
        topic = Topic(_level(request, "site"), _level(request, "device"), Kind.READING)
        body = await read_body(request, self._message_bytes_max)
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
        try:
            ingested, acks, downlinks = await self._in_store(self._desk.take_readings, topic, body, now_ms, wall_ms)
        except NotUnderstood as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        self._committed(downlinks)
        through = [[boot, seq] for boot, seq in sorted(acks.items())]
        return {"stored": ingested.stored, "duplicates": ingested.duplicates, "acks": through}

    async def _list(self, request: Request) -> Answer:
        after_id, limit = _number(request, "after", 0), min(_number(request, "limit", 100), LIST_MAX)
        query, quarantine = request.query_params, self._desk.quarantine
        if query.get("order", "oldest") == "newest":
            before_id, reason = _number(request, "before", ID_MAX), query.get("reason")
            items = await self._in_store(quarantine.newest, before_id=before_id, reason=reason, limit=limit)
        else:
            items = await self._in_store(quarantine.items, after_id=after_id, limit=limit)
        count = await self._in_store(self._desk.quarantine.count)
        wanted = wanted_fields(query.get("fields"), ITEM_FIELDS)
        return {"count": count, "items": [_only(wanted, item_document(item)) for item in items]}

    async def _reasons(self, _: Request) -> Answer:
        reasons = await self._in_store(self._desk.quarantine.reasons)
        return {"of_newest": REASONS_OF, "reasons": [asdict(each) for each in reasons]}

    async def _show(self, request: Request) -> Answer:
        raw = request.path_params["item_id"]
        item = await self._in_store(self._desk.quarantine.item, _whole(raw, "id"))
        if item is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no item {raw} in quarantine")
        return item_document(item)

    async def _retry(self, request: Request) -> Answer:
        ids = await self._ids(request, RETRY_IDS_MAX)
        if not ids.ids or ids.all or ids.reason is not None:
            raise Problem(HTTPStatus.BAD_REQUEST, 'expected {"ids": [...]} with at least one id')
        retried: list[Retried] = await self._in_store(self._desk.quarantine.retry, ids.ids)
        self._committed([])
        return {"results": [asdict(each) for each in retried]}

    async def _purge(self, request: Request) -> Answer:
        ids = await self._ids(request, PURGE_IDS_MAX)
        if [ids.all, bool(ids.ids), ids.reason is not None].count(True) != 1:
            raise Problem(HTTPStatus.BAD_REQUEST, 'expected either {"ids": [...]}, {"reason": "..."} or {"all": true}')
        return {"purged": await self._in_store(self._desk.quarantine.purge, ids.ids or None, ids.reason)}

    async def _ledger(self, request: Request) -> Answer:
        query = request.query_params
        told: LedgerReport = await self._in_store(
            self._desk.ledger_report,
            site=query.get("site"),
            device=query.get("device"),
            only_open=query.get("open") == "true",
        )
        return asdict(told)

    async def _forget(self, request: Request) -> Answer:
        requires(Scope.OPERATE)(request)
        body = await read_body(request, IDS_BODY_BYTES_MAX)
        try:
            name = msgspec.json.decode(body, type=_Name).name
            released = await self._in_store(self._desk.forget_destination, name)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"body: {error}") from None
        except UnknownDestination as error:
            raise Problem(HTTPStatus.CONFLICT, str(error)) from None
        return {"forgotten": name, "released": released}

    async def _resend(self, request: Request) -> Answer:
        asked = await self._body(request, _Missing)
        ranges = asked.ranges
        if len(ranges) > RANGES_MAX or not all(0 <= first <= last <= SEQ_MAX for first, last in ranges):
            raise Problem(HTTPStatus.BAD_REQUEST, f"ranges: expected at most {RANGES_MAX} of [first, last] seqs")
        resent = await self._in_store(self._desk.resend.ask, asked.site, asked.device, asked.boot, ranges)
        self._committed([])
        return asdict(resent)

    async def _devices(self, request: Request) -> Answer:
        limit = min(_number(request, "limit", DEVICES_SHOWN_MAX), DEVICES_SHOWN_MAX)
        wanted = wanted_fields(request.query_params.get("fields"), CLOCK_FIELDS)
        found: list[DeviceStanding] = await self._in_store(self._desk.devices, _number(request, "after", 0), limit)
        return {"devices": [_only(wanted, asdict(each)) for each in found]}

    async def _body(self, request: Request, kind: type[Body]) -> Body:
        requires(Role.OPERATOR)(request)
        body = await read_body(request, IDS_BODY_BYTES_MAX)
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"body: {error}") from None

    async def _ids(self, request: Request, count_max: int) -> _Ids:
        ids = await self._body(request, _Ids)
        if len(ids.ids) > count_max or not all(0 < each < 2**63 for each in ids.ids):
            raise Problem(HTTPStatus.BAD_REQUEST, f"ids: expected at most {count_max} whole numbers over 0")
        return ids


def _only(wanted: Fields, item: dict[str, Any]) -> dict[str, Any]:
    return item if wanted is None else {name: value for name, value in item.items() if name in wanted}


def _answering(handler: Callable[[Request], Awaitable[Answer]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await handler(request))
        except Problem as problem:
            return problem.response()
        except StoreError as error:
            retry_after = {"Retry-After": str(STORE_RETRY_AFTER_S)}
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"the store refuses: {error}", retry_after).response()

    return answer


def _level(request: Request, name: str) -> str:
    try:
        return check_level(request.query_params.get(name, ""), name)
    except TopicError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"query: {error}") from None


def _number(request: Request, name: str, default: int) -> int:
    raw = request.query_params.get(name)
    return default if raw is None else _whole(raw, name)


def _whole(raw: str, name: str) -> int:
    if not (raw.isascii() and raw.isdecimal()) or len(raw) > 18:
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name}: expected a whole number")
    return int(raw)
