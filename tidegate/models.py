"""Looking into the models of a configuration."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from tidegate.includes import KeyPath, Table


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, at any depth: `list[A | B] | None` has A and B."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and get_origin(annotation) is None:
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def tables_under(annotation: Any, value: Any, at: KeyPath) -> Iterator[tuple[type[BaseModel], Table, KeyPath]]:
    """The table that a key's value is, or those that it lists, each with every model that it may be of, and its place.

    annotation: of the key's field. at: the key.
    """
    places = (
        [((*at, str(place)), child) for place, child in enumerate(value)] if isinstance(value, list) else [(at, value)]
    )
    tables = [(key, child) for key, child in places if isinstance(child, dict)]
    for model in models_in(annotation):
        for key, table in tables:
            yield model, table, key
