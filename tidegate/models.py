"""Looking into the models of a configuration."""

from typing import Any, get_args, get_origin

from pydantic import BaseModel


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, at any depth: `list[A | B] | None` has A and B."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and get_origin(annotation) is None:
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]
