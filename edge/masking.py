"""A configuration as it may be shown: whole, with every secret masked.

Promises: no secret is in what `effective` returns: neither one that its type says is one, nor one that its name says
is, nor a password within a URL. Imports nothing of ours, for every part shows its configuration by it.
"""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel

_MASK: Final = "********"
SECRET_NAME: Final = re.compile(r"(^|_)(password|passphrase|token|secret|psk|api_key|private_key)$")
"""Keys whose value is a secret."""

Table = dict[str, Any]


def effective(config: BaseModel) -> Table:
    """The whole configuration as plain JSON-ready data, defaults included, every secret masked."""
    return {name: _masked(value, name) for name, value in config.model_dump(mode="json").items()}


def _masked(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {key: _masked(inner, str(key)) for key, inner in value.items()}
        case list():
            return [_masked(inner, name) for inner in value]
        case str() if value and SECRET_NAME.search(name):
            return _MASK
        case str():
            return without_password(value)
    return value


def without_password(text: str) -> str:
    """A URL's password replaced by the mask; any other text unchanged."""
    try:
        password = urlsplit(text).password if "@" in text else None
    except ValueError:
        return text
    return text.replace(f":{password}@", f":{_MASK}@") if password else text
