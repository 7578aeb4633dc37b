"""Configuration loading: the overlay, the secrets, and above all that every error says where, what and why."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from tests.config_keys import field_keys
from tidegate.config import effective, load
from tidegate.errors import ConfigError


class _Mqtt(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    password: SecretStr | None = None


class _Influx(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["influx"]
    url: str
    token: str | None = None
    token_file: Path | None = None


class _Log(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["log"]
    limit: int = 3


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "gate"
    mqtt: _Mqtt = _Mqtt()
    sizes: tuple[int, ...] = (1,)
    outs: list[_Influx | _Log] = []
    is_on: bool = True

    @model_validator(mode="after")
    def _rule(self) -> "_Part":
        if self.name == "bad":
            raise ValueError("name and mqtt: expected another pair")
        return self


def _load(text: str, tmp_path: Path, **environ: str) -> _Part:
    path = tmp_path / "part.toml"
    path.write_text(text, encoding="utf-8")
    return load(_Part, "EDGE", path, environ)


def _problems(text: str, tmp_path: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(text, tmp_path, **environ)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_without_a_file_the_defaults_hold() -> None:
    assert load(_Part, "EDGE", None, {}) == _Part()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    part = _load('name = "a"\n[mqtt]\nhost = "file"\nport = 1', tmp_path, TIDEGATE_EDGE__MQTT__HOST="environment")
    assert (part.name, part.mqtt.host, part.mqtt.port) == ("a", "environment", 1)


def test_the_environment_of_another_part_is_not_read(tmp_path: Path) -> None:
    part = _load("", tmp_path, TIDEGATE_CLOUD__NAME="other", TIDEGATE_EDGEX="1", TIDEGATE_EDGE__="1")
    assert part.name == "gate"


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("PORT", "99", "port", 99),
        ("IS_ON", "false", "is_on", False),
        ("SIZES", "[1, 2]", "sizes", (1, 2)),
        ("NAME", "12", "name", "12"),
        ("NAME", "[x", "name", "[x"),
    ],
)
def test_a_variable_is_read_as_its_key_wants_it(
    variable: str, text: str, key: str, value: object, tmp_path: Path
) -> None:
    in_mqtt = "MQTT__" if key == "port" else ""
    part = _load("", tmp_path, **{f"TIDEGATE_EDGE__{in_mqtt}{variable}": text})
    assert getattr(part.mqtt if in_mqtt else part, key) == value


def test_a_list_of_tables_can_come_from_one_variable(tmp_path: Path) -> None:
    part = _load("", tmp_path, TIDEGATE_EDGE__OUTS='[{ kind = "log", limit = 7 }]')
    assert part.outs == [_Log(kind="log", limit=7)]


def test_every_problem_is_named_at_once_with_what_was_expected_and_found(tmp_path: Path) -> None:
    assert _problems('name = 5\nis_on = "perhaps"\n[mqtt]\nport = 99999', tmp_path) == [
        "part.toml: name: expected a valid string, found 5",
        "part.toml: mqtt.port: expected less than or equal to 65535, found 99999",
        "part.toml: is_on: expected a valid boolean, found 'perhaps'",
    ]


def test_an_unknown_key_gets_the_nearest_known_one(tmp_path: Path) -> None:
    assert _problems('[mqtt]\nhsot = "x"', tmp_path) == ["part.toml: mqtt.hsot: unknown key; did you mean 'host'?"]


def test_an_unknown_key_near_nothing_gets_the_known_ones(tmp_path: Path) -> None:
    assert _problems("[mqtt]\nzzz = 1", tmp_path) == [
        "part.toml: mqtt.zzz: unknown key; known here: host, password, port"
    ]


def test_an_unknown_variable_is_named_by_its_own_name(tmp_path: Path) -> None:
    assert _problems("", tmp_path, TIDEGATE_EDGE__MQTT__HSOT="x") == [
        "TIDEGATE_EDGE__MQTT__HSOT: mqtt.hsot: unknown key; did you mean 'host'?"
    ]


def test_a_wrong_value_from_the_environment_is_named_by_the_variable(tmp_path: Path) -> None:
    found = _problems("[mqtt]\nport = 5", tmp_path, TIDEGATE_EDGE__MQTT__PORT="many")
    assert found == ["TIDEGATE_EDGE__MQTT__PORT: mqtt.port: expected a valid integer, found 'many'"]


def test_a_variable_inside_a_plain_value_is_refused(tmp_path: Path) -> None:
    found = _problems('name = "a"', tmp_path, TIDEGATE_EDGE__NAME__FIRST="x")
    assert found == [
        "TIDEGATE_EDGE__NAME__FIRST: name.first: the environment sets a key inside 'name', which is not a table"
    ]


def test_a_missing_value_in_a_list_is_named_by_its_place(tmp_path: Path) -> None:
    found = _problems('[[outs]]\nkind = "log"\n[[outs]]\nkind = "influx"', tmp_path)
    assert "part.toml: outs.1.url: expected a value, found nothing" in found


def test_a_rule_over_several_keys_speaks_for_itself(tmp_path: Path) -> None:
    assert _problems('name = "bad"', tmp_path) == ["part.toml: name and mqtt: expected another pair"]


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    assert _problems('name = "a"\nport 5', tmp_path)[0].startswith("part.toml:2: not valid TOML: Expected '='")


def test_toml_that_breaks_off_is_an_error_too(tmp_path: Path) -> None:
    assert "not valid TOML" in _problems('name = "a', tmp_path)[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "no such file"), (b"\xff\xfe", "expected UTF-8 text, found another encoding at byte 0")],
)
def test_an_unreadable_file_is_one_problem(content: bytes | None, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "part.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=expected):
        load(_Part, "EDGE", path, {})


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(_Part, "EDGE", tmp_path, {})


def test_a_secret_comes_from_a_file_named_in_the_file_or_the_environment(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n", encoding="utf-8")
    from_file = _load(f'[mqtt]\npassword_file = "{secret}"', tmp_path)
    from_environment = _load("", tmp_path, TIDEGATE_EDGE__MQTT__PASSWORD_FILE=str(secret))
    assert from_file == from_environment
    assert from_file.mqtt.password == SecretStr("s3cret")


def test_a_key_of_the_model_that_ends_in_file_is_left_to_the_model(tmp_path: Path) -> None:
    part = _load('[[outs]]\nkind = "influx"\nurl = "u"\ntoken_file = "/nowhere"', tmp_path)
    assert part.outs == [_Influx(kind="influx", url="u", token_file=Path("/nowhere"))]


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file or directory"), (b"\n", "it is empty"), (b"\xff", "not UTF-8"), (b"a" * 70_000, "longer")],
)
def test_a_secret_file_that_holds_no_secret_is_named_with_the_reason(
    content: bytes | None, why: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    (found,) = _problems(f'[mqtt]\npassword_file = "{secret}"', tmp_path)
    assert found.startswith("part.toml: mqtt.password_file: expected a readable file that holds the secret")
    assert why in found


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    found = _problems('[mqtt]\npassword = "a"\npassword_file = "b"', tmp_path)
    assert found == ["part.toml: mqtt.password_file: expected either password or password_file, found both"]


def test_a_wrong_secret_is_not_shown_in_the_error(tmp_path: Path) -> None:
    (found,) = _problems("[mqtt]\npassword = 123456", tmp_path)
    assert found == "part.toml: mqtt.password: expected a valid string, found a secret (not shown)"


def test_a_long_value_is_cut_and_a_table_is_not_printed(tmp_path: Path) -> None:
    (found,) = _problems(f'mqtt = "{"x" * 500}"', tmp_path)
    assert len(found) < 200
    (found,) = _problems("[name]\na = 1", tmp_path)
    assert found == "part.toml: name: expected a valid string, found a table"


def test_the_effective_configuration_masks_every_secret(tmp_path: Path) -> None:
    part = _load(
        '[mqtt]\npassword = "s3cret"\n[[outs]]\nkind = "influx"\nurl = "http://me:s3cret@host/x"\ntoken = "s3cret"',
        tmp_path,
    )
    shown = effective(part)
    assert "s3cret" not in repr(shown)
    assert shown["outs"][0]["url"] == "http://me:********@host/x"
    assert shown["mqtt"]["port"] == 1883


def test_the_effective_configuration_shows_that_a_secret_is_not_set(tmp_path: Path) -> None:
    assert effective(_load("", tmp_path))["mqtt"]["password"] is None


def test_field_keys_lists_every_key_once() -> None:
    assert field_keys(_Part) == [
        "name",
        "mqtt.host",
        "mqtt.port",
        "mqtt.password",
        "sizes",
        "outs[].kind",
        "outs[].url",
        "outs[].token",
        "outs[].token_file",
        "outs[].limit",
        "is_on",
    ]


@given(st.dictionaries(st.from_regex(r"TIDEGATE_EDGE__[A-Z_]{0,20}", fullmatch=True), st.text(max_size=40), max_size=4))
def test_no_environment_makes_anything_but_a_configuration_or_a_config_error(environ: dict[str, str]) -> None:
    errors: list[ConfigError] = []
    try:
        load(_Part, "EDGE", None, environ)
    except ConfigError as error:
        errors.append(error)
    assert all(error.problems for error in errors)
    assert all("\n" not in str(problem) for error in errors for problem in error.problems)
