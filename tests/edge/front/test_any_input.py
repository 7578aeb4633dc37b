"""Any request that the API's description allows, and many that it does not: no fault of ours, errors as documents.

Every operation of `/openapi.json` is asked with what its description asks for, with values that are not that, and with
bodies of any kind; by an operator, so that nothing is refused before it is looked at. What is answered must be what the
description says: the status, the media type, and every field.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.edge.front.kit import Api, Operation, checker, closed, operations

EXAMPLES = 8  # of each operation; in CI's own run a different dozen each time would be noise, so they are derandomised
STREAMS = {"/api/v1/live"}  # does not end, and has its own tests

TEXTS = st.text(max_size=40) | st.sampled_from(
    ["", "0", "-1", "1e999", "9" * 40, "\x00", "../..", "<script>", "null", "٣"]
)
NUMBERS = st.integers(-2, 3) | st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1])
JSONS = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
KNOWN = {"site": ["office"], "device": ["d1"], "from": [0], "key": [1, 2]}
"""Names and keys that there are, so that some requests find something."""


def _valid(schema: dict[str, Any], parts: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows, roughly: enough to get past the first check."""
    if "$ref" in schema:
        return _valid(parts[schema["$ref"].rsplit("/", 1)[1]], parts)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*(_valid(each, parts) for each in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        needed = set(schema.get("required", ()))
        fields = {name: _valid(each, parts) for name, each in schema["properties"].items()}
        optional = {name: each for name, each in fields.items() if name not in needed}
        return st.fixed_dictionaries({name: fields[name] for name in needed}, optional=optional)
    if "prefixItems" in schema:
        return st.tuples(*(_valid(each, parts) for each in schema["prefixItems"]))
    if kind == "array":
        return st.lists(_valid(schema.get("items", {}), parts), max_size=3)
    kinds: dict[str | None, st.SearchStrategy[Any]] = {
        "integer": st.integers(schema.get("minimum", 0), schema.get("maximum", 10**6)),
        "number": st.floats(0, 1000),
        "boolean": st.booleans(),
        "null": st.none(),
        "string": TEXTS,
    }
    return kinds.get(kind, JSONS)


def _requests(each: Operation, parts: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Half of what is sent is what the description asks for, the rest anything."""
    where: dict[str, dict[str, st.SearchStrategy[Any]]] = {"path": {}, "query": {}}
    needed: dict[str, st.SearchStrategy[Any]] = {}
    for one in each.parameters:
        valid = _valid(one["schema"], parts)
        known = st.sampled_from(one["schema"].get("examples", KNOWN.get(one["name"], [1])))
        if one["in"] == "path":
            where["path"][one["name"]] = known | valid | TEXTS | NUMBERS
        elif one["in"] == "query":
            (needed if one["required"] else where["query"])[one["name"]] = known | valid | valid | TEXTS | NUMBERS
    (media_type, described), *_ = each.bodies.items() or [("application/json", {})]
    example = st.just(described.get("example", {}))
    bodies = (example | _valid(described.get("schema", {}), parts)).map(json.dumps).map(str.encode)
    return st.fixed_dictionaries(
        {
            "path": st.fixed_dictionaries(where["path"]),
            "query": st.fixed_dictionaries(needed, optional=where["query"] or {"q": TEXTS}),
            "body": bodies | JSONS.map(json.dumps).map(str.encode) | st.binary(max_size=50),
            "content_type": st.sampled_from([media_type, media_type, "application/senml+cbor", "text/plain", ""]),
        }
    )


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with ExitStack() as stack:
        yield Api(tmp_path_factory.mktemp("api"), stack)


def _check(api: Api, each: Operation, wanted: dict[str, Any], answer: httpx.Response) -> None:
    said = (str(each), wanted, answer.status_code, answer.text[:300])
    assert answer.status_code < 500, said
    is_other_path = any(str(value) in ("", ".", "..") or "/" in str(value) for value in wanted["path"].values())
    if is_other_path and answer.status_code in (404, 405):
        return
    told = each.answers.get(str(answer.status_code))
    assert told, f"not described: {said}"
    media_type = answer.headers["content-type"]
    assert media_type in told["content"], said
    if media_type.endswith("json") and not wanted["query"].get("fields"):
        schema = closed(told["content"][media_type]["schema"])
        assert [error.message for error in checker(schema, api.closed).iter_errors(answer.json())] == [], said
    if answer.status_code >= 400:
        assert media_type == "application/problem+json", said
        problem = answer.json()
        assert (problem["status"], problem["type"]) == (answer.status_code, "about:blank"), said
        assert problem["title"], said


def test_no_input_is_answered_with_a_fault_of_ours_and_every_error_is_a_problem_document(api: Api) -> None:
    parts = api.described["components"]["schemas"]
    asked = [each for each in operations(api.described) if each.path not in STREAMS]
    assert len(asked) > 50
    answered_well = set()

    def ask_all(each: Operation) -> None:
        @settings(
            max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(_requests(each, parts))
        def ask(wanted: dict[str, Any]) -> None:
            where = {name: quote(str(value), safe="") for name, value in wanted["path"].items()}
            body = {} if each.method == "GET" else {"content": wanted["body"]}
            headers = {"content-type": wanted["content_type"]}
            answer = api.ask(each.method, each.path.format(**where), params=wanted["query"], headers=headers, **body)
            _check(api, each, wanted, answer)
            if answer.status_code < 400:
                answered_well.add(str(each))

        ask()

    for each in asked:
        ask_all(each)
    assert len(answered_well) > 0.6 * len(asked), {str(each) for each in asked} - answered_well
