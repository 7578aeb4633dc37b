"""The description of the HTTP API (OpenAPI 3.1): what FastAPI does not find out by itself.

A route says what is its own: its parameters by their types, the body that it reads itself by `takes`, its answer by a
model, the errors that are its own by `problems`. What holds for many is put in here: who may (read off the
`requires` of the route, so that it cannot be told wrong), and the errors of rights, parameters, bodies and the store.
Promises: every error is described as a problem document (RFC 9457); a body of ours by the struct that decodes it.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from edge.access.gate import CSRF_HEADER, OPEN, OWN, PROBES
from edge.access.roles import Scope
from edge.problems import PROBLEM_TYPE

TITLE = "Tidegate edge"
Document = dict[str, Any]
PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
PROBLEM: Document = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "always `about:blank`: see `status`"},
        "title": {"type": "string", "description": "the status in words"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "which field, and what was expected"},
        "instance": {"type": "string", "format": "uri-reference", "description": "the path that was asked for"},
    },
    "example": {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "query.limit: Input should be less than or equal to 250",
        "instance": "/api/v1/devices",
    },
}
WORDS = {
    400: "The body or a name makes no sense.",
    401: "Nobody in particular may not: log in, or send a token. `WWW-Authenticate` says how.",
    403: "Whoever asks may not, or the CSRF token of the session is missing.",
    404: "There is none.",
    408: "The body came too slowly.",
    409: "Not as things stand.",
    413: "The body is too long.",
    415: "Expected JSON.",
    421: "The Host header names another machine.",
    422: "A parameter or a field is not what was expected.",
    429: "Too many tries: `Retry-After` says for how many seconds.",
    501: "This installation cannot.",
    503: "The store refuses, or the gateway is away: `Retry-After` says for how many seconds.",
}
RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "seconds"}}
SECURITY_SCHEMES: Document = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token (`tidegate edge token add`). Its scopes: "
        "`read` (look), `ingest` (post readings), `operate` (look, and change things).",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "tidegate-PORT",
        "description": "What POST /api/v1/login sets; with TLS its name begins with `__Host-`.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER,
        "description": "Goes with the session wherever something is changed; GET /api/v1/me tells it.",
    },
}
ABOUT = (
    "What the pages show, for programs. Times are milliseconds since 1970 unless a name says otherwise. Errors are"
    " problem documents (RFC 9457). JSON answers to GET carry an ETag, and HEAD is answered wherever GET is. While"
    " nobody has an account, whoever is on the gateway's own machine may read without logging in."
)
IN_PERSON: Document = {"security": [{"session": [], "csrf": []}]}
"""As `openapi_extra`: only somebody who is logged in, no token."""


def takes(kind: type[msgspec.Struct], example: object, *, required: bool = True) -> Document:
    """The description of a body that a route decodes itself, as its `openapi_extra`. Raises if the example is none."""
    msgspec.convert(example, kind)
    _, parts = msgspec.json.schema_components([kind], ref_template="{name}")

    def whole(schema: Any) -> Any:
        if isinstance(schema, list):
            return [whole(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        return whole(parts[schema["$ref"]]) if "$ref" in schema else {key: whole(each) for key, each in schema.items()}

    schema = {**whole(parts[kind.__name__]), "title": kind.__name__.lstrip("_")}
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema, "example": example}}}
    }


def problems(*statuses: int) -> dict[int | str, Document]:
    """The errors of a route, as its `responses`."""
    return {status: problem(status) for status in statuses}


def answered(model: type[BaseModel], words: str) -> dict[int | str, Document]:
    """The answer of a route that makes its response itself, as its `responses`."""
    return {HTTPStatus.OK.value: {"model": model, "description": words}}


def problem(status: int) -> Document:
    """One error."""
    told: Document = {"description": WORDS[status], "content": {PROBLEM_TYPE: {"schema": PROBLEM_REF}}}
    return told if status not in (429, 503) else {**told, "headers": RETRY_AFTER}


class Described(FastAPI):
    """An application whose description is whole."""

    def __init__(self, **more: Any) -> None:
        # The gateway behind the front does not know its own address, so it can redirect to none.
        super().__init__(
            title=TITLE, docs_url=None, redoc_url=None, redirect_slashes=False, generate_unique_id_function=_name,
            **more,
        )  # fmt: skip

    def openapi(self) -> Document:
        """The document."""
        if not self.openapi_schema:
            told = super().openapi()
            for path, operations in told["paths"].items():
                for method, operation in operations.items():
                    _complete(path, method, operation)
            self.openapi_schema = with_common_parts(told)
        return self.openapi_schema


def with_common_parts(told: Document) -> Document:
    """A document with what its operations refer to, and without what FastAPI would answer to bad input."""
    named = told.get("components", {}).get("schemas", {}).items()
    schemas = {name: each for name, each in named if name not in ("HTTPValidationError", "ValidationError")}
    components = {
        "schemas": {**schemas, "Problem": PROBLEM},
        "responses": {str(status): problem(status) for status in WORDS},
        "securitySchemes": SECURITY_SCHEMES,
    }
    return {**told, "info": {**told["info"], "description": ABOUT}, "components": components}


def _name(route: APIRoute) -> str:
    return route.name


def _complete(path: str, method: str, operation: Document) -> None:
    summary, _, more = operation.pop("description", "").partition("\n")
    operation["summary"] = summary.strip().removesuffix(".") or operation["summary"]
    if more.strip():
        operation["description"] = more.strip()
    operation["security"] = _security(path, method, operation.get("security", []))
    answers = operation["responses"]
    answers.pop("422", None)
    for status in _common(path, operation):
        answers.setdefault(str(status), problem(status))
    operation["responses"] = {status: _short(status, answer) for status, answer in sorted(answers.items())}


def _short(status: str, answer: Document) -> Document:
    """An answer, by reference where it is an error as others have it."""
    if int(status) in WORDS and answer == problem(int(status)):
        return {"$ref": f"#/components/responses/{status}"}
    content = {name: {**each} for name, each in answer.get("content", {}).items()}
    for each in content.values():
        if each.pop("itemSchema", None):  # of OpenAPI 3.2: what one event of a stream is
            each["schema"] = {"type": "string"}
    return {
        **answer,
        "description": answer["description"].replace("Successful Response", "The answer."),
        "content": content,
    }


def _security(path: str, method: str, found: list[Document]) -> list[Document]:
    """`found`: what FastAPI makes of the route's `requires`, or what the route says itself."""
    if path in OPEN or path in PROBES:
        return []
    if path in OWN or IN_PERSON["security"] == found:
        return [{"session": [], "csrf": []}]
    scopes = [name for each in found for name in each] or [Scope.READ.value]
    session: Document = {"session": []} if method in ("get", "head") else {"session": [], "csrf": []}
    return [{"token": scopes}, session]


def _common(path: str, operation: Document) -> Iterator[int]:
    """The errors that an operation shares with others."""
    if path not in PROBES:
        yield from (HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.SERVICE_UNAVAILABLE)
    if operation["security"]:
        yield from (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
    if operation.get("parameters"):
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if "requestBody" in operation:
        yield from (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
        yield from (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
