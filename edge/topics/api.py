"""The part of the HTTP API that tells what arrives at the broker, topic by topic.

    GET /api/v1/topics?q=T&limit=N     topics seen since somebody began to look: rate, last payload, who takes it
    GET /api/v1/topics/one?topic=T     one of them, explained: what becomes of its message, and a rule to start from

Asking is what makes the gateway listen, so the first answer is empty. Payloads are shown as text where they are text,
as hexadecimal digits where not, and never more than the sample that the table keeps.
"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict

from edge.api_description import problems
from edge.config import EdgeConfig
from edge.field_selection import Fields, Wanted, selected
from edge.mapping.explain import Explanation, explain
from edge.topics.suggest import suggest
from edge.topics.table import TopicRow
from edge.topics.watch import TopicWatch
from sensors.clock import Clock
from sensors.topics import TO_DEVICES, TopicError, parse_topic

LIMIT_MAX = 500  # each is explained anew: some 20 ms, beside the event loop
OFFSET_MAX = 1_000_000
Q_CHARS_MAX = 128
GATEWAY = "gateway"
PREVIEW_CHARS = 120  # of a row; the whole sample is with the one topic
TOPIC_CHARS_MAX = 65_535  # MQTT's own bound


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class TopicDocument(_Document):
    """One topic. `taken_by`: the rule's name, `native`, `gateway` for what the gateway itself says, or null; `problem`:
    why its last message would be refused."""

    topic: str
    messages: int
    per_s: float
    last_ms: int
    payload_bytes: int
    retained: bool
    preview: str
    taken_by: str | None
    site: str | None
    device: str | None
    problem: str | None


class TopicsDocument(_Document):
    """Some of the `total` that hold the text that was asked for. `beyond`: messages of topics for which
    the gateway has no room; `pausing`: the broker is so busy that one second of five is listened to."""

    listened_ms: int
    pausing: bool
    problem: str | None
    beyond: int
    total: int
    topics: tuple[TopicDocument, ...]


class ExplainedTopic(_Document):
    """One topic's last message. `suggestion`: a `[[mapping]]` table that would take it, where nothing does yet."""

    topic: str
    payload: str
    is_text: bool
    is_whole: bool
    explanation: dict[str, Any]
    suggestion: str | None


def topics_router(watch: TopicWatch, config: EdgeConfig, clock: Clock) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1/topics", tags=["Topics"])

    def told(row: TopicRow) -> Explanation:
        if _is_ours(row.topic, config.mqtt.topic_root):
            return Explanation(row.topic, GATEWAY)
        return explain(config.mapping, config.mqtt.topic_root, row.topic, row.sample, clock.wall_ms())

    @router.get("", response_model=TopicsDocument)
    async def topics(
        fields: Annotated[Fields, Depends(Wanted(TopicDocument))],
        q: Annotated[str, Query(max_length=Q_CHARS_MAX, description="only topics that hold this text")] = "",
        offset: Annotated[int, Query(ge=0, le=OFFSET_MAX, description="so many are left out at the beginning")] = 0,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="so many at most")] = LIMIT_MAX,
    ) -> TopicsDocument | Response:
        """Topics that were seen and hold `q`, by name, some at a time."""
        watch.ask()
        found = [row for row in watch.table if q.lower() in row.topic.lower()]
        listened_ms = watch.listened_ms
        shown = await asyncio.to_thread(
            lambda: [_document(row, told(row), listened_ms) for row in found[offset : offset + limit]]
        )
        document = TopicsDocument(
            listened_ms=listened_ms,
            pausing=watch.pausing,
            problem=watch.problem,
            beyond=watch.table.beyond,
            total=len(found),
            topics=tuple(shown),
        )
        return selected(document, "topics", fields)

    @router.get("/one", responses=problems(404))
    async def topic_explained(
        topic: Annotated[
            str, Query(min_length=1, max_length=TOPIC_CHARS_MAX, description="the whole topic", examples=["hall/pump"])
        ],
    ) -> ExplainedTopic:
        """One topic, explained."""
        watch.ask()
        row = watch.table.get(topic)
        if row is None:
            raise HTTPException(404, f"the topic {topic[:64]!r} was not heard since somebody began to look")
        explanation = told(row)
        text, is_text = _text(row.sample)
        return ExplainedTopic(
            topic=row.topic,
            payload=text,
            is_text=is_text,
            is_whole=row.payload_bytes == len(row.sample),
            explanation=explanation.document(),
            suggestion=None if explanation.taken_by is not None else suggest(row.topic, row.sample),
        )

    return router


def _is_ours(text: str, root: str) -> bool:
    """Whether the gateway is the one who says it, to a device."""
    try:
        return parse_topic(text, root).kind in TO_DEVICES
    except TopicError:
        return False


def _document(row: TopicRow, explanation: Explanation, listened_ms: int) -> TopicDocument:
    text, _ = _text(row.sample[: 4 * PREVIEW_CHARS])
    cut = row.payload_bytes > len(row.sample)
    return TopicDocument(
        topic=row.topic,
        messages=row.messages,
        per_s=round(row.per_s(listened_ms), 3),
        last_ms=row.last_wall_ms,
        payload_bytes=row.payload_bytes,
        retained=row.retained,
        preview=text[:PREVIEW_CHARS],
        taken_by=explanation.taken_by,
        site=explanation.site,
        device=explanation.device,
        problem=None if cut and explanation.taken_by is not None else explanation.problem,
    )


def _text(payload: bytes) -> tuple[str, bool]:
    """The payload as text if it is printable text, else as hexadecimal digits."""
    text = payload.decode("utf-8", "ignore") if _is_cut_text(payload) else None
    if text is not None and all(char.isprintable() or char in "\n\r\t" for char in text):
        return text, True
    return payload.hex(" "), False


def _is_cut_text(payload: bytes) -> bool:
    """Whether it is UTF-8, but for a character that the cut may have split."""
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(payload) - 3 and error.reason == "unexpected end of data"
    return True
