"""Reading a TOML file together with the files that it includes: `include = ["radios.toml", "sites/north.toml"]`.

Promises: an included file's path counts from the folder of the file that names it; tables are merged key by key, and
the including file wins; lists of tables (`[[devices]]`) are joined, included ones first; every key remembers the file
that it came from, so that an error can name it. A file that cannot be read, a wrong `include` and a circle are errors
that name file, key and what was expected; a circle names the whole chain. A file that two others include is read twice.
"""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tidegate.errors import ConfigError, Problem

KEY: Final = "include"
DEPTH_MAX: Final = 16  # files that include each other; a deeper nest is a mistake, or somebody's joke
_TOML_LINE: Final = re.compile(r"^(?P<what>.*?) \(at line (?P<line>\d+), column \d+\)$", re.DOTALL)

Table = dict[str, Any]
KeyPath = tuple[str, ...]


@dataclass(slots=True)
class Tables:
    """The merged table, and for each key (list places as digits) the file that set it."""

    table: Table = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def origin(self, key: KeyPath) -> str | None:
        """Return the file that a key, or the nearest table around it, came from."""
        ends = range(len(key), 0, -1)
        return next((self.origins[key[:end]] for end in ends if key[:end] in self.origins), None)


def read_with_includes(path: Path) -> Tables:
    """Read a file and all that it includes. Raises ConfigError."""
    return _read(path, "", ())


def _read(path: Path, named_as: str, chain: tuple[Path, ...]) -> Tables:
    """`named_as`: the path as the including file has it; `chain`: the files that led here, the first one first."""
    reals = [each.resolve() for each in chain]
    if path.resolve() in reals:
        circle = " -> ".join(map(str, (*chain[reals.index(path.resolve()) :], path)))
        raise _wrong(chain[-1], f"expected no circle, found {circle}")
    if len(chain) >= DEPTH_MAX:
        raise _wrong(chain[-1], f"expected at most {DEPTH_MAX} files that include each other")
    if chain and not path.is_file():
        raise _wrong(chain[-1], f"expected an existing TOML file, found {named_as!r}")
    table = read_toml(path)
    included = table.pop(KEY, [])
    if not isinstance(included, list) or not all(isinstance(each, str) and each for each in included):
        raise _wrong(path, f"expected a list of file names, found {included!r}")
    result = Tables()
    for each in included:
        _merge(result, _read(path.parent / each, each, (*chain, path)))
    own = Tables(table)
    _name_origins(own, table, (), str(path))
    _merge(result, own)
    return result


def read_toml(path: Path) -> Table:
    """Read one file. Raises ConfigError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = Problem(str(path), "", "no such file; expected an existing TOML file")
    except UnicodeDecodeError as error:
        problem = Problem(str(path), "", f"expected UTF-8 text, found another encoding at byte {error.start}")
    except OSError as error:
        problem = Problem(str(path), "", f"cannot be read: {error.strerror or error}")
    except tomllib.TOMLDecodeError as error:
        at_line = _TOML_LINE.match(str(error))
        source, what = (f"{path}:{at_line['line']}", at_line["what"]) if at_line else (str(path), str(error))
        problem = Problem(source, "", f"not valid TOML: {what}")
    raise ConfigError((problem,))


def _wrong(file: Path, detail: str) -> ConfigError:
    return ConfigError((Problem(str(file), KEY, detail),))


def _name_origins(tables: Tables, value: Any, at: KeyPath, file: str) -> None:
    if at:
        tables.origins[at] = file
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        _name_origins(tables, inner, (*at, str(name)), file)


def _merge(into: Tables, more: Tables) -> None:
    """Put `more` over `into`."""
    _merge_table(into, into.table, more, more.table, ())


def _merge_table(into: Tables, below: Table, more: Tables, above: Table, at: KeyPath) -> None:
    for name, value in above.items():
        here = (*at, name)
        old = below.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge_table(into, old, more, value, here)
        elif _are_tables(old) and _are_tables(value):
            joined: list[Table] = below[name]
            first = len(joined)
            for place, table in enumerate(value):
                joined.append(table)
                _move_origins(into, more, (*here, str(place)), (*here, str(first + place)))
        else:
            below[name] = value
            _forget_origins(into, here)
            _move_origins(into, more, here, here)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _forget_origins(tables: Tables, at: KeyPath) -> None:
    for key in [key for key in tables.origins if key[: len(at)] == at]:
        del tables.origins[key]


def _move_origins(into: Tables, more: Tables, old: KeyPath, new: KeyPath) -> None:
    for key, file in more.origins.items():
        if key[: len(old)] == old:
            into.origins[(*new, *key[len(old) :])] = file
