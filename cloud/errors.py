"""Errors as InfluxDB 2.x sends them: {"code": ..., "message": ...} with the code in a header as well."""

import sqlite3
from typing import Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from cloud.bodies import BodyEncodingError, BodyTooLargeError, BodyTooSlowError
from cloud.lineprotocol import PrecisionError
from cloud.points import BucketUnknownError, StoreFullError
from cloud.queries import CursorError
from cloud.service import BodyEmptyError, LinesRefusedError

FULL_RETRY_S: Final = 60  # a full store is freed by retention or by its operator: neither is quick
CLIENT_GONE: Final = 499  # nginx's code for a client that hung up before the answer; nobody reads it
MESSAGE_CHARS_MAX: Final = 64_000  # a body of only bad lines must not be sent back whole; clients read 64 KiB

_CODES: Final = {
    400: "invalid",
    401: "unauthorized",
    404: "not found",
    405: "method not allowed",
    408: "request timeout",
    413: "request too large",
    422: "unprocessable entity",
    500: "internal error",
    503: "unavailable",
}
_STATUSES: Final[dict[type[Exception], int]] = {
    BodyEmptyError: 400,
    BodyEncodingError: 400,
    CursorError: 400,
    LinesRefusedError: 400,
    PrecisionError: 400,
    BucketUnknownError: 404,
    BodyTooSlowError: 408,
    BodyTooLargeError: 413,
    sqlite3.Error: 500,
    StoreFullError: 503,
}


class ApiError(Exception):
    """An answer other than success, with InfluxDB's wording."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def answer(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Build the error answer."""
    code = _CODES.get(status, "invalid")
    body = msgspec.json.encode({"code": code, "message": message[:MESSAGE_CHARS_MAX]})
    # A too slow sender's connection is of no more use; a full store says when to come back.
    extra = {408: {"Connection": "close"}, 503: {"Retry-After": str(FULL_RETRY_S)}}.get(status, {})
    headers = {"X-Platform-Error-Code": code, **extra, **(headers or {})}
    return Response(body, status, headers, media_type="application/json; charset=utf-8")


def install(app: FastAPI) -> None:
    """Make the app answer every named error in InfluxDB's shape."""

    async def on_known(_request: Request, error: Exception) -> Response:
        status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
        return answer(status, str(error))

    async def on_api(_request: Request, error: Exception) -> Response:
        return answer(error.status if isinstance(error, ApiError) else 500, str(error))

    async def on_http(_request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            return answer(500, str(error))
        return answer(error.status_code, str(error.detail), dict(error.headers or {}))

    async def on_parameters(_request: Request, error: Exception) -> Response:
        faults = error.errors() if isinstance(error, RequestValidationError) else []
        return answer(400, "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in faults))

    async def on_gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=CLIENT_GONE)

    for kind in _STATUSES:
        app.add_exception_handler(kind, on_known)
    app.add_exception_handler(ApiError, on_api)
    app.add_exception_handler(ClientDisconnect, on_gone)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_parameters)
