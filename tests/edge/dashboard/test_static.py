"""The pages as files: small, vendored as written down, and nothing that our own Content-Security-Policy forbids."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from edge.dashboard.assets import Assets, digest_of
from edge.dashboard.web import API_DOCS, STATIC

GZIP_BYTES_MAX = 200_000
OURS = sorted(
    path
    for folder in (STATIC, API_DOCS)
    for path in folder.rglob("*")
    if path.suffix in (".js", ".css", ".html") and "vendor" not in path.parts and not path.name.startswith("swagger-ui")
)


def test_everything_together_is_under_200_kb_gzip() -> None:
    served = [path for path in STATIC.rglob("*") if path.suffix in (".js", ".css", ".html", ".svg")]
    assert sum(len(gzip.compress(path.read_bytes(), 5)) for path in served) < GZIP_BYTES_MAX


def test_the_first_page_asks_for_all_its_files_at_once() -> None:
    wanted, found = ["app"], set()
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            text = (STATIC / "js" / f"{name}.js").read_text(encoding="utf-8")
            wanted += re.findall(r"^import [^;]* from \"\./(\w+)\.js\";", text, re.MULTILINE)
    preloaded = set(re.findall(r'modulepreload" href="/static/js/(\w+)\.js"', (STATIC / "index.html").read_text()))
    assert preloaded == found - {"app"}


def test_vendored_files_are_those_that_the_readme_names() -> None:
    readme = (STATIC / "vendor" / "README.md").read_text(encoding="utf-8")
    written = dict(re.findall(r"`(uPlot[^`]+)` \| `([0-9a-f]{64})`", readme))
    assert written == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").iterdir()
        if path.suffix in (".js", ".css")
    }


def test_the_vendored_api_docs_are_those_that_their_readme_names() -> None:
    readme = (API_DOCS / "README.md").read_text(encoding="utf-8")
    written = dict(re.findall(r"`(swagger-ui[^`]+)` \| `([0-9a-f]{64})`", readme))
    files = ("swagger-ui-bundle.js", "swagger-ui.css")
    assert written == {name: hashlib.sha256((API_DOCS / name).read_bytes()).hexdigest() for name in files}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_files_hold_no_markup_from_text_nothing_inline_and_no_other_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for banned in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=",
                   "javascript:", "<style", "@import"):  # fmt: skip
        assert banned not in text, banned
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    hosts = set(re.findall(r"(?:https?:)?//([a-z0-9.-]+\.[a-z]{2,})", text))
    assert hosts <= {"www.w3.org"}


def test_every_file_that_is_asked_for_exists() -> None:
    for path in OURS:
        text = path.read_text(encoding="utf-8")
        asked = [STATIC.parent / found.lstrip("/") for found in re.findall(r"""["'](/static/[^"']+)["']""", text)]
        asked += [API_DOCS / found for found in re.findall(r"""["']/docs/([^"']+)["']""", text)]
        asked += [path.parent / found for found in re.findall(r"""["'](\.\.?/[^"']+)["']""", text)]
        assert [file for file in asked if not file.is_file()] == [], path.name


def test_scripts_name_other_files_relatively_so_that_the_digest_in_the_pages_holds_for_all() -> None:
    assert [path.name for path in OURS if path.suffix == ".js" and "/static/" in path.read_text(encoding="utf-8")] == []


def test_a_page_names_each_of_its_files_with_the_digest_of_them_all(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    page = '<script src="/static/a.js"></script><a href="/docs">API</a>'
    first = Assets("/static", tmp_path, shared=True).named(page)
    assert first == f'<script src="/static/{digest_of(tmp_path)}/a.js"></script><a href="/docs">API</a>'
    (tmp_path / "a.js").write_text("2")
    second = Assets("/static", tmp_path, shared=True).named(page)
    (tmp_path / "a.js").rename(tmp_path / "b.js")
    assert len({first, second, Assets("/static", tmp_path, shared=True).named(page)}) == 3
