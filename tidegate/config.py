"""Reading a part's configuration: a TOML file, overlaid by the environment, validated by the part's own pydantic model.

Promises: the result is valid or `ConfigError` names every problem in one line each (source, dotted key, what was
expected, what was found); a secret never appears in an error or in `effective`.

- Environment: `TIDEGATE_EDGE__MQTT__HOST` sets `mqtt.host` of the edge part; the environment wins over the file. A
  text that the key does not take as it stands is read as a TOML value (`[1, 2]`, `{ a = 1 }`).
- Secrets from files: for any key `x` that has no sibling `x_file` of its own, `x_file = "/run/secrets/x"` (in the file
  or the environment) reads `x` from that file, without its line end.
- `include = ["other.toml"]` at the top of a file reads others below it (`tidegate.includes`).
- Relative paths count from the working directory, as everywhere on a command line; those of files that go with a
  configuration (`tidegate.companions`) from the folder of the file that names them.
"""

import difflib
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from edge.masking import SECRET_NAME, effective, without_password
from tidegate.companions import find_companions
from tidegate.errors import ConfigError, Problem
from tidegate.includes import KeyPath, Table, Tables, read_with_includes
from tidegate.models import models_in, tables_under

_FILE_SUFFIX: Final = "_file"
_FOUND_CHARS_MAX: Final = 60  # an error is one line: a pasted document is cut
_SECRET_BYTES_MAX: Final = 64 * 1024  # no secret is longer; /dev/zero as a secret's file must not fill the memory

__all__ = ["effective", "load", "load_tables"]

Config = TypeVar("Config", bound=BaseModel)


def load(model: type[Config], section: str, path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read, overlay and validate.

    model: the part's configuration model. section: `EDGE`, `CLOUD`, `SENSORS` or `BROKER`, which follows `TIDEGATE_` in
    the names of the environment. path: the TOML file, or None for the defaults. Raises ConfigError.
    """
    return _Loader(model, f"TIDEGATE_{section}__", path).load(environ)


def load_tables(model: type[Config], tables: Mapping[str, Any], source: str) -> Config:
    """Validate tables that are no file's, such as a test's; `source` is what errors call them. Raises ConfigError."""
    return _Loader(model, "", None, Tables(deepcopy(dict(tables))), source).load({})


class _Loader(Generic[Config]):
    """One load: the table as it grows, and where each key came from, so that an error can name its source."""

    def __init__(
        self,
        model: type[Config],
        prefix: str,
        path: Path | None,
        tables: Tables | None = None,
        source: str = "configuration",
    ) -> None:
        """`tables`: what to read in place of a file, called `source`."""
        self._model = model
        self._prefix = prefix
        self._file = str(path) if path is not None else source
        self._read = (tables or Tables()) if path is None else read_with_includes(path)
        find_companions(model, self._read)
        self._table = self._read.table
        self._variables: dict[KeyPath, str] = {}
        self._problems: list[Problem] = []

    def load(self, environ: Mapping[str, str]) -> Config:
        for variable in sorted(environ):
            key = tuple(variable.removeprefix(self._prefix).lower().split("__"))
            if variable.startswith(self._prefix) and all(key):
                self._variables[key] = variable
                self._set(key, environ[variable])
        self._read_secret_files(self._model, self._table, ())
        try:
            config = self._model.model_validate(self._table)
        except ValidationError as error:
            self._problems += [self._problem(detail) for detail in error.errors(include_url=False)]
        else:
            if not self._problems:
                return config
        raise ConfigError(tuple(self._problems))

    def _set(self, key: KeyPath, text: str) -> None:
        table = self._table
        for part in key[:-1]:
            inner = table.setdefault(part, {})
            if not isinstance(inner, dict):
                found = f"the environment sets a key inside {part!r}, which is not a table"
                self._problems.append(Problem(self._variables[key], ".".join(key), found))
                return
            table = inner
        table[key[-1]] = _from_text(_field_at(self._model, key), text)

    def _read_secret_files(self, model: type[BaseModel], table: Table, at: KeyPath) -> None:
        for name in list(table):
            here = (*at, name)
            if name in model.model_fields:
                for inner, child, _ in tables_under(model.model_fields[name].annotation, table[name], here):
                    self._read_secret_files(inner, child, here)
            key = name.removesuffix(_FILE_SUFFIX)
            if key == name or name in model.model_fields or key not in model.model_fields:
                continue
            file_name = table.pop(name)
            if key in table:
                detail = f"expected either {key} or {name}, found both"
                self._problems.append(Problem(self._source(here), ".".join(here), detail))
            elif (secret := self._read_secret(here, file_name)) is not None:
                table[key] = secret

    def _read_secret(self, key: KeyPath, file_name: object) -> str | None:
        try:
            with Path(str(file_name)).open("rb") as stream:
                content = stream.read(_SECRET_BYTES_MAX + 1)
            if len(content) > _SECRET_BYTES_MAX:
                why = f"it is longer than {_SECRET_BYTES_MAX} bytes"
            elif text := content.decode("utf-8").rstrip("\r\n"):
                return text
            else:
                why = "it is empty"
        except OSError as error:
            why = error.strerror or str(error)
        except UnicodeDecodeError:
            why = "it is not UTF-8 text"
        detail = f"expected a readable file that holds the secret, found {str(file_name)!r} ({why})"
        self._problems.append(Problem(self._source(key), ".".join(key), detail))
        return None

    def _source(self, key: KeyPath) -> str:
        named = tuple(part for part in key if not part.isdecimal())
        ends = range(len(named), 0, -1)
        variable = next((self._variables[named[:end]] for end in ends if named[:end] in self._variables), None)
        return variable or self._read.origin(key) or self._file

    def _problem(self, error: ErrorDetails) -> Problem:
        """One pydantic error as one line. `loc` holds keys and list places, and tags of unions, which are no keys."""
        place, model = _place(self._model, error["loc"], ends_in_a_key=error["type"] == "extra_forbidden")
        source = self._source(place)
        key = ".".join(place)
        if error["type"] == "extra_forbidden":
            return Problem(source, key, f"unknown key{_nearest(place[-1], model)}")
        if error["type"] == "missing":
            return Problem(source, key, "expected a value, found nothing")
        if error["type"] in {"too_short", "too_long"}:
            short, limits = error["type"] == "too_short", error.get("ctx", {})
            many = f"at least {limits['min_length']}" if short else f"at most {limits['max_length']}"
            return Problem(source, key, f"expected {many} of them, found {_found(place, error['input'])}")
        message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        wanted = message.removeprefix("Input should be ").split(", unable to")[0].replace("\n", " ")
        if error["type"] == "value_error" and isinstance(error["input"], dict):  # a rule about several keys says it all
            return Problem(source, key, wanted)
        expected = f"expected {wanted}" if message.startswith("Input should be ") else wanted
        return Problem(source, key, f"{expected}, found {_found(place, error['input'])}")


def _from_text(field: FieldInfo | None, text: str) -> Any:
    """The text itself where the key takes it, else what it says as a TOML value; the whole validation judges later."""
    if field is None:
        return text
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    adapter = TypeAdapter(kind)
    candidates: list[Any] = [text]
    try:
        candidates.append(tomllib.loads(f"value = {text}")["value"])
    except tomllib.TOMLDecodeError:
        return text
    for candidate in candidates:
        try:
            adapter.validate_python(candidate)
        except ValidationError:
            continue
        return candidate
    return candidates[-1] if isinstance(candidates[-1], dict | list) else text


def _field_at(model: type[BaseModel], key: KeyPath) -> FieldInfo | None:
    models = [model]
    for depth, part in enumerate(key):
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        if not fields or depth == len(key) - 1:
            return fields[0] if fields else None
        models = [inner for field in fields for inner in models_in(field.annotation)]
    return None


def _place(
    model: type[BaseModel], loc: tuple[int | str, ...], *, ends_in_a_key: bool
) -> tuple[KeyPath, list[type[BaseModel]]]:
    """The dotted key of an error, without the tags of unions, and the models that could have held its last part.

    `ends_in_a_key`: the last part is a key also where no model knows it, and no tag.
    """
    place: list[str] = []
    models: list[type[BaseModel]] = [model]
    holders = models
    for index, part in enumerate(loc):
        known = [each.model_fields[str(part)] for each in models if str(part) in each.model_fields]
        is_last = index == len(loc) - 1
        may_be_tag = not is_last or (not ends_in_a_key and bool(models))
        is_tag = isinstance(part, str) and not known and may_be_tag and bool(place)
        if is_tag:
            continue
        place.append(str(part))
        holders = models
        if known:
            models = [inner for field in known for inner in models_in(field.annotation)]
    return tuple(place), holders


def _nearest(name: str, models: list[type[BaseModel]]) -> str:
    known = sorted({field for model in models for field in model.model_fields})
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _found(place: KeyPath, value: object) -> str:
    if place and SECRET_NAME.search(place[-1]):
        return "a secret (not shown)"
    match value:
        case dict():
            return "a table"
        case list() | tuple():
            return f"a list of {len(value)}"
        case SecretStr():
            return "a secret (not shown)"
        case str():
            text = repr(without_password(value))
        case _:
            text = repr(value)
    return text if len(text) <= _FOUND_CHARS_MAX else f"{text[:_FOUND_CHARS_MAX]}..."
