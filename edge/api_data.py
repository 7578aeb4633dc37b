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
from enum import Enum
from http import HTTPStatus
from typing import Annotated, Any, Literal, Protocol

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from edge.access.requires import requires
from edge.access.roles import Role, Scope
from edge.api_description import problems, takes
from edge.api_documents import (
    ClockDocument,
    ClockPage,
    Forgotten,
    ItemDocument,
    ItemPage,
    Purged,
    ReasonList,
    RetriedList,
    Taken,
)
from edge.desk import DEVICES_SHOWN_MAX, Desk, DeviceStanding
from edge.destinations import UnknownDestination
from edge.feedback import Downlink
from edge.field_selection import Fields, Wanted, selected
from edge.ingest import NotUnderstood
from edge.ledger_report import RANGES_MAX, LedgerReport
from edge.problems import Problem, json_body, read_body
from edge.quarantine import ID_MAX, LIST_MAX, REASONS_OF, Retried, item_document
from edge.resend import Resent
from sensors.clock import Clock
from sensors.reading import SEQ_MAX
from sensors.topics import Kind, Topic, TopicError, check_level

RETRY_IDS_MAX = 100  # of one request: each is a transaction of its own, and the store thread has other work
PURGE_IDS_MAX = 10_000
IDS_BODY_BYTES_MAX = 256 * 1024
REASON_CHARS_MAX = 1000  # a sentence with a path in it
SENML_RECORD = {
    "bn": "string", "bt": "number", "bu": "string", "boot": "integer", "seq": "integer", "n": "string", "u": "string",
    "t": "number", "v": "number", "vs": "string", "vb": "boolean", "s": "number",
}  # fmt: skip
Answer = dict[str, Any]
ItemId = Annotated[int, msgspec.Meta(ge=1, le=ID_MAX)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]
Level = Annotated[
    str, Query(description="a level of an MQTT topic: no +, #, / or control characters", examples=["hall"])
]
Name = Annotated[str | None, Query(description="only of this one")]
OPERATOR = [Depends(requires(Role.OPERATOR))]


class InStore(Protocol):
    """Runs a call in the store's thread."""

    def __call__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """The call's answer."""


class _RetryIds(msgspec.Struct, forbid_unknown_fields=True):
    ids: Annotated[list[ItemId], msgspec.Meta(min_length=1, max_length=RETRY_IDS_MAX)]


class _PurgeIds(msgspec.Struct, forbid_unknown_fields=True):
    ids: Annotated[
        list[ItemId], msgspec.Meta(max_length=PURGE_IDS_MAX, description="these; either they, `reason` or `all`")
    ] = []
    all: bool = False
    reason: Annotated[str, msgspec.Meta(description="all with this one: see GET /api/v1/quarantine/reasons")] | None = (
        None
    )


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(description="a destination that is not configured any more")]


class _Missing(msgspec.Struct, forbid_unknown_fields=True):
    site: str
    device: str
    boot: int
    ranges: Annotated[
        list[tuple[Seq, Seq]], msgspec.Meta(max_length=RANGES_MAX, description="of seqs: first and last, both included")
    ]


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
        self._add_quarantine(router)
        add = router.add_api_route
        add(
            "/readings", self.readings, methods=["POST"], response_model=Taken, tags=["Readings"],
            dependencies=[Depends(requires(Scope.INGEST))], openapi_extra=_readings_body(), responses=problems(400),
        )  # fmt: skip
        add("/ledger", self.ledger, response_model=LedgerReport, tags=["Ledger"])
        add(
            "/ledger/resend", self.resend, methods=["POST"], response_model=Resent, tags=["Ledger"],
            dependencies=OPERATOR, responses=problems(400),
            openapi_extra=takes(_Missing, {"site": "hall", "device": "pump-1", "boot": 3, "ranges": [[0, 9]]}),
        )  # fmt: skip
        add(
            "/destinations/forget", self.forget_destination, methods=["POST"], response_model=Forgotten,
            tags=["Ledger"], dependencies=OPERATOR, responses=problems(400, 409),
            openapi_extra=takes(_Name, {"name": "archive"}),
        )  # fmt: skip
        add("/clocks", self.clocks, response_model=ClockPage, tags=["Devices"])
        return router

    def _add_quarantine(self, router: APIRouter) -> None:
        add = router.add_api_route
        tags: list[str | Enum] = ["Quarantine"]
        add("/quarantine", self.quarantine, response_model=ItemPage, tags=tags)
        add("/quarantine/reasons", self.quarantine_reasons, response_model=ReasonList, tags=tags)
        add(
            "/quarantine/{item_id}",
            self.quarantine_item,
            response_model=ItemDocument,
            tags=tags,
            responses=problems(404),
        )
        add(
            "/quarantine/retry", self.retry_quarantined, methods=["POST"], response_model=RetriedList, tags=tags,
            dependencies=OPERATOR, openapi_extra=takes(_RetryIds, {"ids": [1, 2]}), responses=problems(400),
        )  # fmt: skip
        add(
            "/quarantine/purge", self.purge_quarantine, methods=["POST"], response_model=Purged, tags=tags,
            dependencies=OPERATOR, openapi_extra=takes(_PurgeIds, {"ids": [1, 2]}), responses=problems(400),
        )  # fmt: skip

    async def readings(self, request: Request, site: Level, device: Level) -> Answer:
        """Take readings of one device: SenML with identity (boot, seq).

        The answer comes after the commit. The same readings may be sent again: they count as duplicates.
        """
        topic = Topic(_level(site, "site"), _level(device, "device"), Kind.READING)
        body = await read_body(request, self._message_bytes_max)
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
        try:
            ingested, acks, downlinks = await self._in_store(self._desk.take_readings, topic, body, now_ms, wall_ms)
        except NotUnderstood as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        self._committed(downlinks)
        return {"stored": ingested.stored, "duplicates": ingested.duplicates, "acks": sorted(acks.items())}

    async def quarantine(
        self,
        fields: Annotated[Fields, Depends(Wanted(ItemDocument))],
        order: Annotated[Literal["oldest", "newest"], Query(description="which come first")] = "oldest",
        after: Annotated[int, Query(ge=0, le=ID_MAX, description="oldest first: from behind this id")] = 0,
        before: Annotated[int, Query(ge=0, le=ID_MAX, description="newest first: from before this id")] = ID_MAX,
        reason: Annotated[
            str | None, Query(max_length=REASON_CHARS_MAX, description="newest first: only with this reason")
        ] = None,
        limit: Annotated[int, Query(ge=0, le=LIST_MAX, description="so many at most")] = 100,
    ) -> ItemPage | Response:
        """What could not be accepted, some at a time, with the beginning of its bytes."""
        quarantine = self._desk.quarantine
        if order == "newest":
            items = await self._in_store(quarantine.newest, before_id=before, reason=reason, limit=limit)
        else:
            items = await self._in_store(quarantine.items, after_id=after, limit=limit)
        count = await self._in_store(quarantine.count)
        page = ItemPage(count=count, items=[ItemDocument.model_validate(item_document(item)) for item in items])
        return selected(page, "items", fields)

    async def quarantine_reasons(self) -> ReasonList:
        """Why messages are in quarantine, and how often."""
        reasons = await self._in_store(self._desk.quarantine.reasons)
        return ReasonList(of_newest=REASONS_OF, reasons=reasons)

    async def quarantine_item(
        self, item_id: Annotated[int, Path(ge=1, le=ID_MAX, description="as the list tells it")]
    ) -> Answer:
        """One item of the quarantine, whole."""
        item = await self._in_store(self._desk.quarantine.item, item_id)
        if item is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no item {item_id} in quarantine")
        return item_document(item)

    async def retry_quarantined(self, request: Request) -> Answer:
        """Feed messages through ingest again, after a rule was mended."""
        wanted = await json_body(request, _RetryIds, IDS_BODY_BYTES_MAX)
        retried: list[Retried] = await self._in_store(self._desk.quarantine.retry, wanted.ids)
        self._committed([])
        return {"results": retried}

    async def purge_quarantine(self, request: Request) -> Answer:
        """Delete items for good: these, all with one reason, or all."""
        wanted = await json_body(request, _PurgeIds, IDS_BODY_BYTES_MAX)
        if [wanted.all, bool(wanted.ids), wanted.reason is not None].count(True) != 1:
            raise Problem(HTTPStatus.BAD_REQUEST, 'expected either {"ids": [...]}, {"reason": "..."} or {"all": true}')
        return {"purged": await self._in_store(self._desk.quarantine.purge, wanted.ids or None, wanted.reason)}

    async def ledger(
        self,
        site: Name = None,
        device: Name = None,
        only_open: Annotated[bool, Query(alias="open", description="only accounts with something to tell")] = False,
    ) -> LedgerReport:
        """Is everything that was ever acknowledged in the cloud; if not, which seqs, where, and why."""
        told: LedgerReport = await self._in_store(
            self._desk.ledger_report, site=site, device=device, only_open=only_open
        )
        return told

    async def forget_destination(self, request: Request) -> Answer:
        """Give up a destination that is not configured any more, with what waits for it."""
        name = (await json_body(request, _Name, IDS_BODY_BYTES_MAX)).name
        try:
            released = await self._in_store(self._desk.forget_destination, name)
        except UnknownDestination as error:
            raise Problem(HTTPStatus.CONFLICT, str(error)) from None
        return {"forgotten": name, "released": released}

    async def resend(self, request: Request) -> Resent:
        """Have readings sent to the cloud again that it lost, as far as the log still has them."""
        asked = await json_body(request, _Missing, IDS_BODY_BYTES_MAX)
        if not all(first <= last for first, last in asked.ranges):
            raise Problem(HTTPStatus.BAD_REQUEST, "ranges: expected [first, last] with the lower seq first")
        ask = self._desk.resend.ask
        resent: Resent = await self._in_store(ask, asked.site, asked.device, asked.boot, asked.ranges)
        self._committed([])
        return resent

    async def clocks(
        self,
        fields: Annotated[Fields, Depends(Wanted(ClockDocument))],
        after: Annotated[int, Query(ge=0, le=ID_MAX, description="the key of the last device of the page before")] = 0,
        limit: Annotated[int, Query(ge=0, le=DEVICES_SHOWN_MAX, description="so many at most")] = DEVICES_SHOWN_MAX,
    ) -> ClockPage | Response:
        """Devices, and what is known of their clocks."""
        found: list[DeviceStanding] = await self._in_store(self._desk.devices, after, limit)
        page = ClockPage(devices=[ClockDocument(**_shallow(each)) for each in found])
        return selected(page, "devices", fields)


def _shallow(standing: DeviceStanding) -> Answer:
    return {name: getattr(standing, name) for name in ClockDocument.model_fields}


def _readings_body() -> Answer:
    """SenML (RFC 8428): an array of records."""
    names = {name: {"type": kind} for name, kind in SENML_RECORD.items()}
    records = {"type": "array", "items": {"type": "object", "properties": names}}
    example = [{"boot": 3, "seq": 41, "bt": 1767226740.0, "n": "temperature", "u": "Cel", "v": 21.5}]
    content = {
        "application/senml+json": {"schema": records, "example": example},
        "application/senml+cbor": {"schema": {"type": "string", "format": "binary"}},
    }
    return {"requestBody": {"required": True, "content": content}}


def _level(text: str, name: str) -> str:
    try:
        return check_level(text, name)
    except TopicError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"query: {error}") from None
