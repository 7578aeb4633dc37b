"""Files that include each other: what wins, what an error names, and that a circle ends with its whole chain."""

from pathlib import Path

import pytest

from firmware_sim.config import FleetConfig
from tidegate.config import load
from tidegate.errors import ConfigError
from tidegate.includes import DEPTH_MAX, read_with_includes

SENSOR = '[{ part = "SHT31", quantity = "temperature", signal = { kind = "constant", value = 1.0 } }]'


def write(folder: Path, **texts: str) -> Path:
    """Files by name; returns the folder."""
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def problem(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(FleetConfig, "SENSORS", path, {})
    return str(caught.value).replace(f"{path.parent}/", "")


def test_the_including_file_wins_and_lists_of_tables_are_joined_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        a='include = ["sub/b.toml", "c.toml"]\nsite = "a"\n[mqtt]\nport = 1\n[[devices]]\nname = "a"\n',
        sub__b='include = ["d.toml"]\nsite = "b"\nseed = 2\n[mqtt]\nport = 2\nhost = "b"\n[[devices]]\nname = "b"\n',
        sub__d='[[devices]]\nname = "d"\n',
        c="seed = 3\n",
    )
    read = read_with_includes(tmp_path / "a.toml")
    assert read.table == {
        "site": "a",
        "seed": 3,
        "mqtt": {"port": 1, "host": "b"},
        "devices": [{"name": "d"}, {"name": "b"}, {"name": "a"}],
    }
    files = {
        key: Path(str(read.origin(key))).name for key in [("site",), ("seed",), ("mqtt", "host"), ("mqtt", "port")]
    }
    assert list(files.values()) == ["a.toml", "c.toml", "b.toml", "a.toml"]
    assert [Path(str(read.origin(("devices", str(n), "name")))).name for n in range(3)] == [
        "d.toml",
        "b.toml",
        "a.toml",
    ]


def test_an_error_names_the_included_file_that_has_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        fleet='include = ["rooms.toml"]\n',
        rooms=f'[[devices]]\nname = "d"\nbattery = {{ cell = "cr2032", board = "nrf52-ble", capacity_mah = -5 }}\n'
        f"sensors = {SENSOR}\n",
    )
    assert problem(tmp_path / "fleet.toml") == (
        "rooms.toml: devices.0.battery.capacity_mah: expected greater than 0, found -5"
    )


def test_a_circle_is_refused_with_the_whole_chain(tmp_path: Path) -> None:
    write(tmp_path, a='include = ["b.toml"]', b='include = ["c.toml"]', c='include = ["b.toml"]')
    assert problem(tmp_path / "a.toml") == "c.toml: include: expected no circle, found b.toml -> c.toml -> b.toml"
    write(tmp_path, a='include = ["./a.toml"]')
    assert problem(tmp_path / "a.toml") == "a.toml: include: expected no circle, found a.toml -> a.toml"


def test_a_file_that_two_others_include_is_no_circle(tmp_path: Path) -> None:
    write(
        tmp_path, a='include = ["b.toml", "c.toml"]', b='include = ["d.toml"]', c='include = ["d.toml"]', d="seed = 4"
    )
    assert read_with_includes(tmp_path / "a.toml").table == {"seed": 4}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('include = "b.toml"', "a.toml: include: expected a list of file names, found 'b.toml'"),
        ("include = [1]", "a.toml: include: expected a list of file names, found [1]"),
        ('include = ["gone.toml"]', "a.toml: include: expected an existing TOML file, found 'gone.toml'"),
        ('include = ["bad.toml"]', "bad.toml:1: not valid TOML: Invalid value"),
    ],
)
def test_an_include_that_cannot_be_is_refused(text: str, said: str, tmp_path: Path) -> None:
    write(tmp_path, a=text, bad="x = =")
    assert problem(tmp_path / "a.toml") == said


def test_a_nest_without_end_is_refused(tmp_path: Path) -> None:
    for n in range(DEPTH_MAX + 1):
        write(tmp_path, **{f"f{n}": f'include = ["f{n + 1}.toml"]'})
    assert f"expected at most {DEPTH_MAX} files" in problem(tmp_path / "f0.toml")
