"""The API's description: valid, whole, and true: no route reads what it does not describe."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.datastructures import QueryParams
from starlette.requests import Request

from edge.access.gate import OPEN, PROBES
from tests.edge.front.kit import Api, Operation, checker, operations

JSON = "application/json"
WELL = ("200", "201", "202")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with ExitStack() as stack:
        yield Api(tmp_path_factory.mktemp("api"), stack)


@pytest.mark.no_cover
def test_the_description_is_valid_openapi(api: Api) -> None:
    assert list(OpenAPIV31SpecValidator(api.described).iter_errors()) == []


def test_every_operation_is_described_whole(api: Api) -> None:
    names = [each.told["operationId"] for each in operations(api.described)]
    assert len(names) == len(set(names)) > 50
    for each in operations(api.described):
        assert each.told["tags"], each
        assert each.told["summary"][0].isupper(), each
        in_path = {part[1:-1] for part in each.path.split("/") if part.startswith("{")}
        assert in_path == {one["name"] for one in each.parameters if one["in"] == "path"}, each
        for one in each.parameters:
            assert one.get("description") or one["schema"].get("examples"), (each, one)
            assert one["required"] or "default" in one["schema"] or _may_be_absent(one["schema"]), (each, one)
        for body in each.bodies.values():
            assert body["schema"], each
        (answer,) = (found for status, found in each.answers.items() if status in WELL)
        for media_type, content in answer["content"].items():
            assert media_type != JSON or content["schema"], each
            assert content.get("schema") != {"type": "object", "additionalProperties": True}, each


def _may_be_absent(schema: dict[str, Any]) -> bool:
    return {"type": "null"} in schema.get("anyOf", [])


def test_every_error_is_described_as_a_problem_document(api: Api) -> None:
    for each in operations(api.described):
        errors = {status: found for status, found in each.answers.items() if status not in WELL}
        if each.path not in PROBES:
            assert {"421", "503"} <= errors.keys()
            assert all(list(found["content"]) == ["application/problem+json"] for found in errors.values()), each
        assert ("422" in errors) == bool(each.parameters or each.bodies), each


def test_who_may_is_described_with_the_scope_that_is_asked_for(api: Api) -> None:
    schemes = api.described["components"]["securitySchemes"]
    told = {(each.method, each.path): each.told["security"] for each in operations(api.described)}
    assert {name for all_of in told.values() for one in all_of for name in one} <= schemes.keys()
    assert told["GET", "/api/v1/devices"] == [{"token": ["read"]}, {"session": []}]
    assert told["POST", "/api/v1/readings"] == [{"token": ["ingest"]}, {"session": [], "csrf": []}]
    assert told["DELETE", "/api/v1/drill"] == [{"token": ["operate"]}, {"session": [], "csrf": []}]
    assert told["GET", "/api/v1/tokens"] == [{"token": ["operate"]}, {"session": []}]
    assert told["POST", "/api/v1/tokens"] == [{"session": [], "csrf": []}]
    assert {path for (_, path), needed in told.items() if not needed} == OPEN | PROBES
    changing = [needed for (method, path), needed in told.items() if method != "GET" and path not in OPEN]
    assert all(one.keys() & {"csrf", "token"} for needed in changing for one in needed)
    assert not any({"token": ["read"]} in needed for needed in changing), "a route that changes asks for more"


def test_every_example_of_a_body_is_what_its_schema_says(api: Api) -> None:
    for each in operations(api.described):
        for body in each.bodies.values():
            for example in [body["example"]] if "example" in body else []:
                assert list(checker(body["schema"], api.described).iter_errors(example)) == [], each


class _Reads(QueryParams):
    """Notes what is asked of it."""

    seen: set[str]

    def __init__(self, given: QueryParams, seen: set[str]) -> None:
        super().__init__(given)
        self.seen = seen

    def __getitem__(self, name: str) -> Any:
        self.seen.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.seen.add(str(name))
        return super().__contains__(name)

    def get(self, name: Any, default: Any = None) -> Any:
        self.seen.add(name)
        return super().get(name, default)

    def getlist(self, name: Any) -> Any:
        self.seen.add(name)
        return super().getlist(name)


@contextmanager
def _watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[set[str], set[str]]]:
    """The names of query parameters that routes read inside, and whether they read a body ("body")."""
    queries: set[str] = set()
    bodies: set[str] = set()
    known, stream = Request.query_params.fget, Request.stream  # type: ignore[attr-defined]

    def query_params(request: Request) -> QueryParams:
        return _Reads(known(request), queries)

    def body_stream(request: Request) -> Any:
        if "route" in request.scope:  # the front reads the body of whatever it hands on
            bodies.add("body")
        return stream(request)

    with monkeypatch.context() as patched:
        patched.setattr(Request, "query_params", property(query_params))
        patched.setattr(Request, "stream", body_stream)
        yield queries, bodies


def _asked(api: Api, each: Operation) -> None:
    """With every choice that its parameters have, one after another, so that no branch hides a read."""
    choices = [{}] + [
        {one["name"]: value}
        for one in each.parameters
        if one["in"] == "query"
        for value in one["schema"].get("enum", [one["schema"].get("default")])
        if value is not None
    ]
    needed = {one["name"]: _some(one["schema"]) for one in each.parameters if one["in"] == "query" and one["required"]}
    path = each.path.format(**{one["name"]: _some(one["schema"]) for one in each.parameters if one["in"] == "path"})
    media_type, body = next(iter(each.bodies.items()), (JSON, {}))
    for choice in choices:
        content = {} if each.method == "GET" else {"content": json.dumps(body.get("example", {}))}
        api.ask(each.method, path, params={**needed, **choice}, headers={"content-type": media_type}, **content)


def _some(schema: dict[str, Any]) -> str:
    return "1" if schema.get("type") == "integer" else "office"


def test_no_route_reads_a_query_parameter_or_a_body_that_it_does_not_describe(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in operations(api.described):
        if each.path == "/api/v1/live":  # does not end
            continue
        with _watched(monkeypatch) as (queries, bodies):
            _asked(api, each)
        assert queries <= {one["name"] for one in each.parameters if one["in"] == "query"}, each
        is_reached = each.told["security"] != [{"session": [], "csrf": []}]  # the test's token is no session
        assert bool(bodies) == (bool(each.bodies) and is_reached), each


def test_the_description_is_in_step_with_the_page_that_shows_it(api: Api) -> None:
    page = Path(__file__).resolve().parents[3] / "edge" / "dashboard" / "api_docs" / "page.js"
    assert "/openapi.json" in page.read_text(encoding="utf-8")
