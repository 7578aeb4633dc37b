"""Errors of the HTTP API as RFC 9457 problem details, and bodies that cannot be endless."""

import asyncio
from http import HTTPStatus
from typing import TypeVar

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from edge.store import StoreError

PROBLEM_TYPE = "application/problem+json"
STORE_RETRY_AFTER_S = 5  # what an asker is told while the disk refuses
BODY_SECONDS_MAX = 15.0  # a body that comes slower than this is cut off: nobody may hold a connection for ever
Body = TypeVar("Body")


class Problem(Exception):
    """What the answer to a request says went wrong. `headers` go with it."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    def response(self) -> JSONResponse:
        """The answer."""
        return problem_document(self.status, self.detail, headers=self.headers)


def problem_document(
    status: int, detail: str, *, instance: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """A problem document (RFC 9457); `instance` is the path that was asked for, where it is told."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if instance is not None:
        document["instance"] = instance
    return JSONResponse(document, status, headers, PROBLEM_TYPE)


async def answer_problem(request: Request, error: Exception) -> Response:
    """The handler of `Problem` for an application: what a route or its dependency raised becomes the answer."""
    assert isinstance(error, Problem)  # noqa: S101  # what it is registered for
    return problem_document(error.status, error.detail, instance=request.url.path, headers=error.headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Every error that a route or its dependency raises becomes a problem document."""
    app.add_exception_handler(Problem, answer_problem)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(RequestValidationError, _bad_request_problem)
    app.add_exception_handler(StoreError, _store_problem)


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    headers = dict(error.headers) if error.headers else None
    return problem_document(error.status_code, str(error.detail), instance=request.url.path, headers=headers)


async def _bad_request_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return problem_document(HTTPStatus.UNPROCESSABLE_ENTITY, wrong, instance=request.url.path)


async def _store_problem(request: Request, error: Exception) -> Response:
    headers = {"Retry-After": str(STORE_RETRY_AFTER_S)}
    return problem_document(HTTPStatus.SERVICE_UNAVAILABLE, str(error), instance=request.url.path, headers=headers)


async def json_body(request: Request, kind: type[Body], bytes_max: int) -> Body:
    """The body as what it is to be. Raises `Problem`."""
    body = await read_body(request, bytes_max)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"body: {error}") from None


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body. Raises `Problem` for one that is too long or too slow."""
    too_long = Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is too long: expected at most {bytes_max} bytes")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > bytes_max:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise too_long
    except TimeoutError:
        why = f"the body did not come within {BODY_SECONDS_MAX:.0f} s"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, why) from None
    return bytes(body)
