"""The front door: what it lists and prints, with which code it ends, and that it loads only what was called."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from tidegate import cli
from tidegate.errors import ConfigError, FrontDoorError, Problem, TakenError
from tidegate.process import explain, named_by_kind

_PASSWORD = {"TIDEGATE_BROKER__PASSWORD": "test-only"}


def _tidegate(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidegate", *words],
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _said_by(script: str) -> list[str]:
    """What a process of its own prints: this one has everything loaded."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.splitlines()


def _main(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    out, err = capsys.readouterr()
    code = ended.value.code
    return (code if isinstance(code, int) else 0), out, err


def test_help_lists_every_group_and_loads_no_room() -> None:
    script = (
        "import sys; from tidegate.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'pydantic', 'structlog', 'fastapi', 'amqtt', 'edge', 'cloud'} & set(sys.modules)))"
    )
    *shown, loaded = _said_by(script)
    assert loaded == "[]"
    for group in cli.GROUPS:
        assert any(line.startswith(f"  {group.name} ") for line in shown)


def test_a_gateway_starts_without_libraries_that_it_does_not_use_and_leaves_them_to_others() -> None:
    script = (
        "import sys, edge.gateway\n"
        "print(sorted({'pandas', 'numpy', 'matplotlib', 'pvlib', 'influxdb_client', 'reactivex'} & set(sys.modules)))\n"
        "import numpy; print(numpy.zeros(1).sum())\n"
        "import influxdb_client.rest; print(influxdb_client.rest.ApiException is edge.influx.ApiException)\n"
        "print(influxdb_client.Point('a').field('b', 1).to_line_protocol())"
    )
    assert _said_by(script) == ["[]", "0.0", "False", "a b=1i"]


def test_no_part_starts_with_the_library_that_draws_on_terminals() -> None:
    script = (
        "import sys; from tidegate.cli import main\n"
        "for part in ('sensors', 'broker', 'cloud', 'edge'):\n"
        "    try: main([part, 'run', '--check-config'])\n"
        "    except SystemExit: print(part, sorted({'rich', 'rich.console', 'structlog'} & set(sys.modules)))\n"
    )
    said = [line for line in _said_by(script) if line.endswith("['structlog']")]
    assert [line.split()[0] for line in said] == ["sensors", "broker", "cloud", "edge"]


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _main(capsys)
    assert code == 2
    assert "Usage: tidegate" in out + err


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(capsys, "--version") == (0, "tidegate 0.1.0\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("brokr",), "Did you mean 'broker'?"),
        (("broker", "run", "--nonsense"), "No such option"),
        (("broker", "run", "--log-format", "xml"), "xml"),
    ],
)
def test_bad_usage_is_2_and_says_why(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _main(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.usefixtures("logging_restored")
def test_check_config_prints_the_effective_configuration_with_secrets_masked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEGATE_BROKER__PASSWORD", "test-only")
    path = tmp_path / "broker.toml"
    path.write_text("port = 2000\n", encoding="utf-8")
    code, out, err = _main(capsys, "broker", "run", "--config", str(path), "--check-config")
    assert (code, err) == (0, "")
    shown: dict[str, Any] = json.loads(out)
    assert (shown["port"], shown["password"], shown["host"]) == (2000, "********", "127.0.0.1")


@pytest.mark.usefixtures("logging_restored")
def test_a_wrong_configuration_is_2_with_one_line_a_problem(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text('port = "x"\nhots = 1\n', encoding="utf-8")
    code, out, err = _main(capsys, "broker", "run", "--config", str(path), "--check-config")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"error: {path}: port: expected a valid integer, found 'x'",
        f"error: {path}: hots: unknown key; did you mean 'host'?",
    ]


def test_a_taken_port_is_3_with_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = _tidegate("broker", "run", TIDEGATE_BROKER__PORT=port, **_PASSWORD)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: 127.0.0.1:{port}: cannot listen there")


def test_debug_adds_the_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = _tidegate("broker", "run", "--log-level", "debug", TIDEGATE_BROKER__PORT=port, **_PASSWORD)
    assert done.returncode == 3
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_part_cleanly_with_0(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tidegate", "broker", "run", "--log-format", "json"]
    environ = os.environ | _PASSWORD | {"TIDEGATE_BROKER__PORT": "0"}
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        events = []
        for line in process.stderr:
            events.append(json.loads(line)["event"])
            if events[-1] == "ready":
                process.send_signal(number)
        assert process.wait(timeout=20) == 0
    assert events[-1] == "ready"


def test_a_missing_package_hurts_only_its_own_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def imported(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}", name="matplotlib.pyplot")

    monkeypatch.setattr("tidegate.cli.importlib.import_module", imported)
    assert _main(capsys, "--version")[0] == 0
    code, _, err = _main(capsys, "outage", "show")
    assert code == 2
    assert err == "error: this command needs the Python package 'matplotlib': pip install 'tidegate[forecast]'\n"


def test_any_other_error_is_said_once_and_is_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer()

    @app.callback(invoke_without_command=True)
    def broken() -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("tidegate.cli.importlib.import_module", lambda name: type(name, (), {"app": app}))
    assert _main(capsys, "demo") == (1, "", "error: ZeroDivisionError: two lines\n")


class _Held(Exception):
    """A room's own error for what somebody else holds."""


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            ConfigError((Problem("a.toml", "x.y", "no"), Problem("a.toml", "", "bad"))),
            2,
            "a.toml: x.y: no\na.toml: bad",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), 3, "/data: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device"),
        (ExceptionGroup("g", [ExceptionGroup("h", [TakenError("lock")]), ValueError("later")]), 3, "lock"),
        (RuntimeError(), 1, "RuntimeError"),
    ],
)
def test_every_error_has_its_code_and_line(error: Exception, code: int, text: str) -> None:
    assert explain(error) == (code, text)


@pytest.mark.parametrize("error", [_Held("in use"), ExceptionGroup("g", [_Held("in use")])])
@pytest.mark.parametrize(("classes", "code"), [(((_Held,), ()), 3), (((), (_Held,)), 2)])
def test_a_room_s_own_error_gets_the_code_of_its_kind(
    classes: tuple[tuple[type[Exception], ...], tuple[type[Exception], ...]], code: int, error: Exception
) -> None:
    taken, misconfigured = classes
    with pytest.raises(FrontDoorError) as caught, named_by_kind(taken, misconfigured):
        raise error
    assert explain(caught.value) == (code, "in use")


def test_other_errors_of_a_room_pass_unchanged() -> None:
    with pytest.raises(KeyError), named_by_kind((_Held,), (_Held,)):
        raise KeyError("x")
