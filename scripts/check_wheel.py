"""Look into a built wheel: every room is in it, nothing else is, and its metadata says what pyproject.toml says.

Usage: python scripts/check_wheel.py FILE.whl. Prints one line; ends with 1 and one line a problem otherwise.
"""

import email
import sys
import tomllib
import zipfile
from pathlib import Path

ROOMS = ("sensors", "firmware_sim", "edge", "cloud", "tidegate")
ROOT = Path(__file__).resolve().parent.parent


def problems_of(wheel: Path) -> list[str]:
    """What is wrong with the wheel, in sentences; empty when nothing is."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name.partition("/")[0] for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    sources = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    packed = {name for name in names if not name.startswith(info)}
    found = [f"{name} is in the checkout but not in the wheel" for name in sorted(sources - packed)]
    found += [f"{name} is in the wheel but no part of a room" for name in sorted(packed - sources)]
    if metadata["Version"] != project["version"]:
        found.append(f"the wheel's version is {metadata['Version']}, pyproject.toml says {project['version']}")
    if f"tidegate = {project['scripts']['tidegate']}" not in entry_points:
        found.append("the wheel has no `tidegate` command")
    if f"{info}/licenses/LICENSE" not in names:
        found.append("the wheel has no LICENSE")
    return found


def main() -> int:
    """Check the wheel named on the command line."""
    wheel = Path(sys.argv[1])
    found = problems_of(wheel)
    sys.stdout.writelines(f"{wheel.name}: {problem}\n" for problem in found)
    if not found:
        sys.stdout.write(f"{wheel.name}: complete, {wheel.stat().st_size // 1024} KiB\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
