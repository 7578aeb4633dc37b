"""`fields=`: which fields of each item of a list a request wants, on a metered link often two of twenty.

As a dependency of a route whose items are documents (`Wanted(DeviceRow)`), with `selected` around what it answers; a
handler that takes the request itself asks `wanted_fields`. Promises: without `fields` nothing changes; a name that no
item has is refused (422) with the names that there are; what stands beside the items stays whole.
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import Query, Response
from pydantic import BaseModel

from edge.problems import Problem

FIELDS_CHARS_MAX = 1000  # every name of the largest item, twice
DESCRIPTION = "names of the fields of each item that are wanted, with commas between; without it, all"
DocumentT = TypeVar("DocumentT", bound=BaseModel)
Fields = frozenset[str] | None


def wanted_fields(text: str | None, known: Collection[str]) -> Fields:
    """The fields that a request names; None: all. Raises `Problem`."""
    if text is None:
        return None
    wanted = {name.strip() for name in text.split(",")}
    unknown = sorted(wanted - set(known))
    if unknown:
        why = f"fields: expected some of {', '.join(known)}, with commas between; found {unknown[0][:64]!r}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, why)
    return frozenset(wanted)


class Wanted:
    """The dependency: of one kind of item."""

    def __init__(self, kind: type[BaseModel]) -> None:
        self._known = (*kind.model_fields, *kind.model_computed_fields)

    def __call__(
        self, fields: Annotated[str | None, Query(max_length=FIELDS_CHARS_MAX, description=DESCRIPTION)] = None
    ) -> Fields:
        """The fields that are wanted. Raises `Problem`."""
        return wanted_fields(fields, self._known)


def selected(document: DocumentT, items: str, wanted: Fields) -> DocumentT | Response:
    """The document, with only the wanted fields of each of its `items`."""
    if wanted is None:
        return document
    include = {name: {"__all__": set(wanted)} if name == items else True for name in type(document).model_fields}
    return Response(document.model_dump_json(include=include), media_type="application/json")
