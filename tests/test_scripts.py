"""The scripts, where they must speak in a sentence: no Python, an environment that moved, packages that are missing."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
SCRIPTS: Final = ROOT / "scripts"

# A Python that only says what it is asked to do: making an environment creates one of the same kind.
_FAKE_PYTHON: Final = """#!/bin/sh
echo "python $*" >> "$CALLS"
case "$*" in
    *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a path with spaces, with nothing but the scripts and what they read."""
    place = tmp_path / "a check out"
    shutil.copytree(SCRIPTS, place / "scripts")
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, place / name)
    return place


def _bash(checkout: Path, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    prelude = "set -euo pipefail; source scripts/setup.sh; source scripts/system_packages.sh; "
    return subprocess.run(
        ["bash", "-c", prelude + script],
        cwd=checkout,
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _with_fake_python(checkout: Path, script: str) -> list[str]:
    """Run with the fake Python; what it was asked to do."""
    fake = checkout.parent / "python"
    fake.write_text(_FAKE_PYTHON, encoding="utf-8")
    fake.chmod(0o755)
    calls = checkout.parent / "calls"
    calls.write_text("", encoding="utf-8")
    done = _bash(checkout, script, TIDEGATE_PYTHON=str(fake), CALLS=str(calls))
    assert done.returncode == 0, done.stderr
    return calls.read_text(encoding="utf-8").splitlines()


def test_the_first_run_installs_the_locked_packages_and_then_the_project(checkout: Path) -> None:
    calls = _with_fake_python(checkout, "ensure_environment run")
    assert "python -m venv --clear .venv" in calls
    installs = [call for call in calls if " pip install " in call]
    assert len(installs) == 2
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation -e ." in installs[1]


def test_a_second_run_does_nothing(checkout: Path) -> None:
    assert _with_fake_python(checkout, "ensure_environment run")
    assert _with_fake_python(checkout, "ensure_environment run") == []


def test_an_environment_for_tests_serves_the_command_too(checkout: Path) -> None:
    calls = _with_fake_python(checkout, "ensure_environment dev")
    assert any("-r requirements-dev.lock" in call for call in calls)
    assert _with_fake_python(checkout, "ensure_environment run") == []


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_is_installed_into_the_same_environment(name: str, checkout: Path) -> None:
    _with_fake_python(checkout, "ensure_environment run")
    with (checkout / name).open("a", encoding="utf-8") as stream:
        stream.write("# changed\n")
    calls = _with_fake_python(checkout, "ensure_environment run")
    assert any(" pip install " in call for call in calls)
    assert not any("-m venv" in call for call in calls)


def test_two_at_once_set_up_only_once(checkout: Path) -> None:
    _with_fake_python(checkout, "ensure_environment run")  # so that both find the same Python in place
    (checkout / ".venv" / ".tidegate-run").unlink()
    both = "ensure_environment run & first=$!; ensure_environment run & second=$!; wait $first; wait $second"
    calls = _with_fake_python(checkout, both)
    assert len([call for call in calls if "--require-hashes" in call]) == 1


def test_an_environment_that_moved_is_made_anew(checkout: Path) -> None:
    _with_fake_python(checkout, "ensure_environment run")
    moved = checkout.rename(checkout.with_name("moved"))
    assert "python -m venv --clear .venv" in _with_fake_python(moved, "ensure_environment run")


def test_an_installation_that_failed_does_not_look_finished(checkout: Path) -> None:
    _with_fake_python(checkout, "ensure_environment run")
    python = checkout / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\ncase "$*" in *"pip install"*) exit 1 ;; esac\n', encoding="utf-8")
    done = _bash(checkout, "ensure_environment dev")
    assert done.returncode == 1
    assert "error: pip could not install requirements-dev.lock" in done.stderr
    assert not list((checkout / ".venv").glob(".tidegate-*"))


def test_no_python_is_said_in_one_sentence_with_the_remedy(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "cat", "head", "cksum", "rm", "mkdir"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    done = _bash(checkout, "SYSTEM_PYTHON=/no/such/python; ensure_environment run", PATH=str(tools))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no Python 3.11 or newer found; install one")


def test_the_systems_own_python_comes_before_the_first_on_the_path(checkout: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text(_FAKE_PYTHON, encoding="utf-8")
    own.chmod(0o755)
    done = _bash(checkout, f"SYSTEM_PYTHON='{own}'; find_python", TIDEGATE_PYTHON="", CALLS=os.devnull)
    assert done.stdout == f"{own}\n"


def test_a_python_that_cannot_make_environments_is_passed_over(checkout: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text('#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\n', encoding="utf-8")
    bare.chmod(0o755)
    able = tmp_path / "able"
    able.write_text(_FAKE_PYTHON, encoding="utf-8")
    able.chmod(0o755)
    done = _bash(checkout, f"SYSTEM_PYTHON='{able}'; find_python", TIDEGATE_PYTHON=str(bare), CALLS=os.devnull)
    assert done.stdout == f"{able}\n"


def test_when_no_python_can_make_environments_the_package_is_named(checkout: Path, tmp_path: Path) -> None:
    bare = tmp_path / "python3"
    bare.write_text('#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\n', encoding="utf-8")
    bare.chmod(0o755)
    done = _bash(checkout, f"PATH='{tmp_path}'; SYSTEM_PYTHON='{bare}'; find_python", TIDEGATE_PYTHON="")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {bare} cannot make virtual environments")
    assert "apt install python3-venv" in done.stderr


def test_missing_system_packages_are_listed_to_who_is_not_root(checkout: Path) -> None:
    script = 'id() { echo 1000; }; SYSTEM_PACKAGES+=("no-such-command:no-such-package"); ensure_system_packages'
    done = _bash(checkout, script)
    assert done.returncode == 1
    assert "sudo apt install" in done.stderr
    assert "no-such-package" in done.stderr


def test_every_script_can_be_read_by_bash() -> None:
    for path in [*SCRIPTS.iterdir(), ROOT / ".ci" / "run"]:
        if path.suffix != ".py" and path.is_file():
            subprocess.run(["bash", "-n", path], check=True)


def test_ci_runs_what_the_readme_says() -> None:
    assert "exec ./scripts/test </dev/null\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "./scripts/test" in (ROOT / "README.md").read_text(encoding="utf-8")
