"""The configuration: what is refused, and where the token comes from."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cloud.config import CloudConfig, TokenUnreadableError

BUCKET = {"name": "a"}


def test_the_defaults_listen_on_this_machine_only() -> None:
    config = CloudConfig.model_validate({"token": "t"})
    assert (config.host, config.port, config.org) == ("127.0.0.1", 8086, "tidegate")
    assert [(bucket.name, bucket.retention_s) for bucket in config.buckets] == [("tidegate", None)]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "give exactly one of token and token_file"),
        ({"token": "t", "token_file": "f"}, "give exactly one of token and token_file"),
        ({"token": "  "}, "token: must not be empty"),
        ({"token": "t", "buckets": []}, "buckets"),
        ({"token": "t", "buckets": [BUCKET, BUCKET]}, "buckets: each name may stand only once"),
        ({"token": "t", "buckets": [{"name": "a", "retention": 5}]}, "retention"),
        ({"token": "t", "buckets": [{"name": "a", "retention_s": 0}]}, "retention_s"),
        ({"token": "t", "port": 0}, "port"),
        ({"token": "t", "max_points": 0}, "max_points"),
        ({"token": "t", "prot": 8086}, "prot"),
    ],
)
def test_a_mistake_is_refused_and_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        CloudConfig.model_validate(settings)


def test_the_token_is_never_shown() -> None:
    config = CloudConfig.model_validate({"token": "very-secret"})
    assert "very-secret" not in repr(config) + config.model_dump_json()
    assert config.read_token() == "very-secret"


def test_the_token_comes_from_its_file_without_the_newline(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("from-file\n")
    assert CloudConfig.model_validate({"token_file": path}).read_token() == "from-file"


@pytest.mark.parametrize("content", [None, "", "\n", "two words", "x" * 5000])
def test_a_token_file_without_a_token_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TokenUnreadableError, match="token_file"):
        CloudConfig.model_validate({"token_file": path}).read_token()
