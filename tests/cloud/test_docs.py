"""docs/cloud.md against the code: its keys, its answers and its example."""

import json
import re
from pathlib import Path

from cloud.config import CloudConfig
from cloud.points import BucketStats
from tests.cloud.test_api import Cloud, cloud

__all__ = ["cloud"]  # the fixture
PAGE = (Path(__file__).parents[2] / "docs" / "cloud.md").read_text()


def test_the_page_names_every_key_with_its_default_and_no_other() -> None:
    section = PAGE.split("## Configuration")[1].split("## Writing")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE))
    assert documented.keys() == CloudConfig.model_fields.keys()
    defaults = {name: field.default for name, field in CloudConfig.model_fields.items()}
    for name in ("host", "port", "db_path", "org", "max_body_bytes", "max_points", "max_disk_bytes"):
        assert documented[name].strip(" `").replace(",", "") == str(defaults[name]), name


def test_the_page_names_every_counter() -> None:
    section = PAGE.split("## The counters")[1]
    assert set(BucketStats.__struct_fields__) <= set(re.findall(r"`(\w+)`", section))


def test_the_pages_example_line_gives_the_pages_example_point(cloud: Cloud) -> None:
    (line,) = re.findall(r"--data-binary '(.*)'", PAGE)
    assert cloud.write(line, precision="ms").status_code == 204
    (point,) = re.findall(r'`(\{"measurement".*\})`', PAGE)
    assert cloud.get("/api/v1/points", measurement="environment")["points"] == [json.loads(point)]
