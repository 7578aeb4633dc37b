"""How the dashboard's parts ask the desk: by a call that runs in the store's thread."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class InStore(Protocol):
    """Runs a call in the store's thread."""

    def __call__(
        self, call: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Awaitable[Answer]:
        """The call's answer."""
