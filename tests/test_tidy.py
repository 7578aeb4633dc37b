"""The house rules as tests. A failure names file, line and the rule; CONTRIBUTING.md has the reasons."""

import ast
import functools
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import typer
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from tests.config_keys import field_keys
from tests.tidy_rules import (
    BANNED_CALLS,
    BANNED_IMPORTS,
    CLOCK_MODULE,
    POLLS,
    PROCESS_TOPS,
    SHELL_MODULES,
    UNWANTED_TEXTS,
)
from tidegate.cli import build_app
from tidegate.models import models_in
from tidegate.parts import PARTS

ROOT: Final = Path(__file__).resolve().parent.parent
ROOMS: Final = ("sensors", "firmware_sim", "edge", "cloud", "tidegate")
FUNCTION_LINES_MAX: Final = 60
FILE_LINES_MAX: Final = 500

pytestmark = pytest.mark.no_cover  # counting the steps through a million nodes takes longer than the steps


@functools.cache
def _tracked() -> tuple[Path, ...]:
    """Every file that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(path for name in sorted(listed.stdout.split("\0")) if name and (path := ROOT / name).is_file())


def _python_files(*folders: str) -> Iterator[Path]:
    for path in _tracked():
        parts = path.relative_to(ROOT).parts
        if path.suffix == ".py" and (not folders or parts[0] in folders):
            yield path


class _Module(NamedTuple):
    """What the rules ask of a module, found in one walk: each rule with a walk of its own would take a second more."""

    is_documented: bool
    functions: list[ast.FunctionDef | ast.AsyncFunctionDef]
    handlers: list[ast.ExceptHandler]
    calls: list[tuple[str, ast.Call]]
    imports: list[tuple[int, str]]


@functools.cache
def _module(path: Path) -> _Module:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    found = _Module(not tree.body or bool(ast.get_docstring(tree)), [], [], [], [])
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                found.calls.append((_dotted(node.func), node))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found.functions.append(node)
            case ast.ExceptHandler():
                found.handlers.append(node)
            case ast.Import():
                found.imports.extend((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom(module=str(name)):
                found.imports.append((node.lineno, name))
                found.imports.extend((node.lineno, f"{name}.{alias.name}") for alias in node.names)
    return found


def _dotted(node: ast.expr) -> str:
    """The name of what is called; what has none is a question mark: `?.sleep` of whatever an expression gives."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=owner, attr=name):
            return f"{_dotted(owner)}.{name}"
    return "?"


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _none(broken: Iterable[tuple[Path, int, str]]) -> None:
    lines = [f"{_name(path)}:{line}: {rule}" for path, line, rule in broken]
    assert not lines, "\n" + "\n".join(lines)


# ---------------------------------------------------------------- size and words


def test_functions_are_short() -> None:
    def long_ones() -> Iterator[tuple[Path, int, str]]:
        for path in _python_files():
            for node in _module(path).functions:
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    yield path, node.lineno, f"{node.name} has {length} lines, at most {FUNCTION_LINES_MAX} allowed"

    _none(long_ones())


def test_files_are_short() -> None:
    lengths = ((path, len(path.read_text(encoding="utf-8").splitlines())) for path in _python_files())
    _none(
        (path, lines, f"the file has {lines} lines, at most {FILE_LINES_MAX} allowed")
        for path, lines in lengths
        if lines > FILE_LINES_MAX
    )


def test_every_module_opens_with_a_docstring() -> None:
    _none(
        (path, 1, "the module has no docstring: say what it is for and what it promises")
        for path in _python_files()
        if not _module(path).is_documented
    )


# ---------------------------------------------------------------- errors


def _is_broad(node: ast.expr | None) -> bool:
    match node:
        case None:
            return True
        case ast.Name(id="Exception" | "BaseException"):
            return True
        case ast.Tuple(elts=elements):
            return any(_is_broad(element) for element in elements)
    return False


def _broad_excepts(path: Path) -> Iterator[int]:
    """Lines where everything is caught and kept; tidying up and raising on is another matter."""
    module = _module(path)
    for node in module.handlers:
        if _is_broad(node.type) and not isinstance(node.body[-1], ast.Raise):
            yield node.lineno
    for name, call in module.calls:
        if name.endswith("suppress"):
            yield from (call.lineno for argument in call.args if _is_broad(argument))


def test_only_the_top_of_a_process_catches_everything() -> None:
    def broken() -> Iterator[tuple[Path, int, str]]:
        for path in _python_files(*ROOMS, "bench", "scripts"):
            lines = list(_broad_excepts(path))
            allowed = PROCESS_TOPS.get(_name(path), 0)
            for line in lines[allowed:]:
                yield path, line, "a broad except outside the top of a process: name the errors"

    _none(broken())


# ---------------------------------------------------------------- core and shell


def _is_module(name: str, wanted: Iterable[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in wanted)


def _shell_uses(path: Path) -> Iterator[tuple[int, str]]:
    """What makes a module a shell: line and what it does there."""
    found: dict[int, str] = {}
    module = _module(path)
    for line, name in module.imports:
        if _is_module(name, BANNED_IMPORTS):
            found.setdefault(line, f"imports {name}")
    for name, node in module.calls:
        if call := _banned_call(name):
            found.setdefault(node.lineno, f"calls {call}")
    yield from found.items()


def _banned_call(name: str) -> str | None:
    short = ".".join(name.split(".")[-2:])
    if short.startswith("random.") and short not in ("random.Random", "random.SystemRandom"):
        return short if name.split(".")[0] == "random" else None
    return short if short in BANNED_CALLS else None


def _is_shell(path: Path) -> bool:
    return _is_shell_name(_name(path))


def _is_shell_name(name: str) -> bool:
    return any(name == entry or (entry.endswith("/") and name.startswith(entry)) for entry in SHELL_MODULES)


def test_core_modules_have_no_clock_no_chance_no_log_and_no_io() -> None:
    _none(
        (path, line, f"a core module {use}: hand it in, or list the module as a shell in tests/tidy_rules.py")
        for path in _python_files(*ROOMS)
        if not _is_shell(path)
        for line, use in _shell_uses(path)
    )


def test_time_is_imported_in_one_module_only() -> None:
    _none(
        (path, line, f"imports time: only {CLOCK_MODULE} may, take a Clock instead")
        for path in _python_files(*ROOMS)
        if _name(path) != CLOCK_MODULE
        for line, name in _module(path).imports
        if _is_module(name, ["time"])
    )


def test_every_listed_shell_exists_and_needs_to_be_one() -> None:
    for entry in SHELL_MODULES:
        members = [path for path in _python_files(*ROOMS) if _name(path) == entry or _name(path).startswith(entry)]
        assert members, f"tests/tidy_rules.py: SHELL_MODULES lists {entry}, which does not exist"
        uses = [use for path in members for use in _shell_uses(path)]
        assert uses, f"tests/tidy_rules.py: SHELL_MODULES lists {entry}, which could be core: take it off"


def test_no_test_sleeps() -> None:
    def sleeps(path: Path) -> list[int]:
        return [call.lineno for name, call in _module(path).calls if name in ("time.sleep", "sleep")]

    _none(
        (path, line, "a test sleeps: wait for the event, or hand the time in")
        for path in _python_files("tests")
        for line in sleeps(path)[POLLS.get(_name(path), 0) :]
    )


# ---------------------------------------------------------------- docs and code say the same


def _commands(node: Any, words: tuple[str, ...]) -> Iterator[str]:
    children: dict[str, Any] = getattr(node, "commands", {})
    if not children or getattr(node, "invoke_without_command", False):
        yield " ".join(words)
    for name, child in children.items():
        yield from _commands(child, (*words, name))


def test_every_command_is_in_the_docs_and_every_documented_command_exists() -> None:
    real = set(_commands(typer.main.get_command(build_app(["--all"])), ("tidegate",)))
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^#{2,4} `(tidegate(?: [a-z-]+)+)`", text, re.MULTILINE))
    assert not real - documented, f"docs/cli.md: no heading for {sorted(real - documented)}"
    assert not documented - real, f"docs/cli.md: a heading for what is no command: {sorted(documented - real)}"


_ROW = re.compile(r"^\| `(?P<key>[a-z0-9_.\[\]]+)` \| (?P<default>.+?) \|")


def _documented_keys(part: str) -> dict[str, tuple[int, str]]:
    """Key -> line and default, of the tables below the heading that names the part."""
    found: dict[str, tuple[int, str]] = {}
    inside = False
    lines = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.startswith("## "):
            inside = f"`tidegate {part} run`" in line
        elif inside and (row := _ROW.match(line)):
            found[row["key"]] = (number, row["default"].strip("`"))
    return found


@pytest.mark.parametrize("part", sorted(PARTS))
def test_the_docs_have_every_configuration_key_with_its_default(part: str) -> None:
    model = PARTS[part]().model
    real = dict(zip(field_keys(model), _defaults(model), strict=True))
    documented = _documented_keys(part)
    page = ROOT / "docs" / "configuration.md"
    problems = [(page, 1, f"no row for the key {key} of {part}") for key in real if key not in documented]
    problems += [(page, line, f"{part} has no key {key}") for key, (line, _) in documented.items() if key not in real]
    problems += [
        (page, documented[key][0], f"the default of {key} is {default}, not {documented[key][1]}")
        for key, default in real.items()
        if key in documented and documented[key][1] != default
    ]
    _none(problems)


def _defaults(model: type[BaseModel]) -> Iterator[str]:
    """The default of each of `field_keys(model)`, as docs/configuration.md writes it."""
    for key in field_keys(model):
        owner: type[BaseModel] = model
        shown = "required"
        parts = [part.removesuffix("[]") for part in key.split(".")]
        for part, after in zip(parts, [*parts[1:], None], strict=True):
            field = owner.model_fields[part]
            inner = None if after is None else _inner_model(field.annotation, after)
            if inner is not None:
                owner = inner
                continue
            shown = _shown(field.get_default(call_default_factory=True))
        yield shown


def _inner_model(annotation: Any, wanted: str) -> type[BaseModel] | None:
    candidates = models_in(annotation)
    holding = [model for model in candidates if wanted in model.model_fields]
    return next(iter(holding or candidates), None)


def _shown(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, SecretStr):
        return "secret"
    if isinstance(value, tuple | list | frozenset):
        return "[...]" if value else "[]"
    return str(value)


# ---------------------------------------------------------------- what must not be committed


def test_no_machine_paths_and_no_registry_hosts_are_committed() -> None:
    def found() -> Iterator[tuple[Path, int, str]]:
        for path in _tracked():
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError:
                continue
            for number, line in enumerate(lines, start=1):
                yield from ((path, number, f"{text!r} does not belong here") for text in UNWANTED_TEXTS if text in line)

    _none(found())


def _shell_scripts() -> Iterator[Path]:
    for path in _tracked():
        if path.suffix == "" and path.stat().st_size:
            with path.open("rb") as stream:
                if stream.readline().startswith(b"#!/usr/bin/env bash"):
                    yield path


def test_every_script_stops_at_the_first_error_and_can_be_run() -> None:
    scripts = list(_shell_scripts())
    assert scripts
    for path in scripts:
        assert "set -euo pipefail\n" in path.read_text(encoding="utf-8"), f"{_name(path)}: no `set -euo pipefail`"
        assert path.stat().st_mode & 0o100, f"{_name(path)}: not executable"


# ---------------------------------------------------------------- the rules bite


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("import time", "imports time"),
        ("def f():\n    from asyncio import sleep", "imports asyncio"),
        ("import random\nrandom.random()", "calls random.random"),
        ("import datetime\ndatetime.datetime.now()", "calls datetime.now"),
        ("import os\nos.urandom(4)", "calls os.urandom"),
    ],
)
def test_the_core_rule_sees(source: str, use: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert use in [found for _, found in _shell_uses(path)]


@pytest.mark.parametrize("source", ["import random\nrandom.Random(4)", "rng.random()", "self.random.random()"])
def test_the_core_rule_lets_an_injected_generator_pass(source: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert list(_shell_uses(path)) == []


@pytest.mark.parametrize(
    "source",
    [
        "try: pass\nexcept: pass",
        "try: pass\nexcept Exception: pass",
        "try: pass\nexcept (ValueError, BaseException): pass",
        "with contextlib.suppress(Exception): pass",
    ],
)
def test_the_broad_except_rule_sees(source: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert len(list(_broad_excepts(path))) == 1
