"""The fault proxy's control API over HTTP, in Toxiproxy's style: FastAPI and uvicorn around `FaultProxy`.

Paths, bodies and status codes are Toxiproxy 2's (its README, "HTTP API") for what both have; ours are `GET /status`
and, in `POST /proxies/{proxy}`, `cause` and `http_status` beside `enabled: false`. Errors are
`{"error": "...", "status": N}`. Promises: no decision is made here; bodies are at most `BODY_BYTES_MAX`; the port is
opened before `start` returns or `PortInUseError` is raised; `stop` closes it.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from edge.outages.events import Cause
from tidegate.outage.address import Address
from tidegate.outage.decoded import field_and_expectation
from tidegate.outage.proxy import FaultProxy, PortInUseError, UnknownToxicError
from tidegate.outage.toxics import Toxic, ToxicError, parse_toxic, parse_update

BODY_BYTES_MAX = 64 * 1024
"""A toxic is some hundred bytes of JSON."""
GRACE_S = 1
"""How long `stop` waits for answers under way, in seconds (uvicorn takes whole ones)."""


class ApiError(Exception):
    """An answer that says no. Carries `status` and the sentence for the body."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool
    cause: Cause = Cause.REFUSED
    http_status: int | None = None


def make_app(proxies: Mapping[str, FaultProxy]) -> FastAPI:
    """The API for these proxies, by name."""
    app = FastAPI(title="Tidegate fault proxy", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(ApiError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_error)  # no such path, no such method
    handlers = _Handlers(proxies)
    routes: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("GET", "/proxies", handlers.list_proxies),
        ("GET", "/status", handlers.show_status),
        ("POST", "/reset", handlers.reset),
        ("GET", "/proxies/{proxy}", handlers.show_proxy),
        ("POST", "/proxies/{proxy}", handlers.change_proxy),
        ("GET", "/proxies/{proxy}/toxics", handlers.list_toxics),
        ("POST", "/proxies/{proxy}/toxics", handlers.add_toxic),
        ("GET", "/proxies/{proxy}/toxics/{toxic}", handlers.show_toxic),
        ("POST", "/proxies/{proxy}/toxics/{toxic}", handlers.update_toxic),
        ("PATCH", "/proxies/{proxy}/toxics/{toxic}", handlers.update_toxic),
        ("DELETE", "/proxies/{proxy}/toxics/{toxic}", handlers.remove_toxic),
    ]
    for method, path, handler in routes:
        app.add_route(path, handler, methods=[method])
    return app


class _Handlers:
    """One method per route; each raises `ApiError`."""

    def __init__(self, proxies: Mapping[str, FaultProxy]) -> None:
        self._proxies = proxies

    async def list_proxies(self, _request: Request) -> Response:
        return JSONResponse({name: describe(proxy) for name, proxy in self._proxies.items()})

    async def show_status(self, _request: Request) -> Response:
        return JSONResponse({"proxies": [proxy.status() for proxy in self._proxies.values()]})

    async def reset(self, _request: Request) -> Response:
        for proxy in self._proxies.values():
            for toxic in proxy.toxics:
                proxy.remove_toxic(toxic.name)
            proxy.restore()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def show_proxy(self, request: Request) -> Response:
        return JSONResponse(describe(self._proxy(request)))

    async def change_proxy(self, request: Request) -> Response:
        proxy = self._proxy(request)
        try:
            change = msgspec.convert(await _json(request), type=_Change)
            if change.enabled:
                proxy.restore()
            else:
                proxy.cut(change.cause, change.http_status)
        except msgspec.ValidationError as error:
            field, expected = field_and_expectation(error, _Change.__struct_fields__, list(Cause))
            raise ApiError(HTTPStatus.BAD_REQUEST, f"{field or 'body'}: expected {expected}") from error
        except ValueError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, str(error)) from error
        return JSONResponse(describe(proxy))

    async def list_toxics(self, request: Request) -> Response:
        return JSONResponse([toxic.as_json() for toxic in self._proxy(request).toxics])

    async def add_toxic(self, request: Request) -> Response:
        proxy = self._proxy(request)
        try:
            toxic = parse_toxic(await _json(request))
            if any(present.name == toxic.name for present in proxy.toxics):
                raise ApiError(HTTPStatus.CONFLICT, f"name: expected one that is free, {toxic.name} exists")
            return JSONResponse(proxy.add_toxic(toxic).as_json())
        except ToxicError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, str(error)) from error

    async def show_toxic(self, request: Request) -> Response:
        return JSONResponse(self._toxic(request).as_json())

    async def update_toxic(self, request: Request) -> Response:
        toxic = self._toxic(request)
        try:
            updated = parse_update(toxic, await _json(request))
        except ToxicError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, str(error)) from error
        return JSONResponse(self._proxy(request).add_toxic(updated).as_json())

    async def remove_toxic(self, request: Request) -> Response:
        self._proxy(request).remove_toxic(self._toxic(request).name)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _proxy(self, request: Request) -> FaultProxy:
        proxy = self._proxies.get(request.path_params["proxy"])
        if proxy is None:
            raise ApiError(HTTPStatus.NOT_FOUND, f"proxy: expected one of {', '.join(self._proxies)}")
        return proxy

    def _toxic(self, request: Request) -> Toxic:
        name = request.path_params["toxic"]
        found = next((toxic for toxic in self._proxy(request).toxics if toxic.name == name), None)
        if found is None:
            raise ApiError(HTTPStatus.NOT_FOUND, str(UnknownToxicError(name)))
        return found


def describe(proxy: FaultProxy) -> dict[str, Any]:
    """A proxy as Toxiproxy's API shows it."""
    status = proxy.status()
    return {name: status[name] for name in ("name", "listen", "upstream", "enabled", "toxics")}


class ApiServer:
    """Serves the API in the running event loop. Use `start` and `stop`."""

    def __init__(self, proxies: Mapping[str, FaultProxy], listen: Address) -> None:
        self.address = listen
        self._app = make_app(proxies)
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the port and serve. Raises `PortInUseError`."""
        listener = self._listen()
        self.address = Address(self.address.host, listener.getsockname()[1])
        config = uvicorn.Config(
            self._app, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=GRACE_S
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))

    async def stop(self) -> None:
        """Close the port and wait for the server's end."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task

    def _listen(self) -> socket.socket:
        try:
            return socket.create_server((self.address.host, self.address.port))
        except OSError as error:
            raise PortInUseError(self.address, error.strerror or str(error)) from error


class _Server(uvicorn.Server):
    """Leaves the process's signals to whoever owns the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _answer_error(_request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        status, sentence, headers = HTTPStatus(error.status_code), error.detail, error.headers
    else:
        status = error.status if isinstance(error, ApiError) else HTTPStatus.INTERNAL_SERVER_ERROR
        sentence, headers = str(error), None
    return JSONResponse({"error": sentence, "status": int(status)}, status_code=status, headers=headers)


async def _json(request: Request) -> Any:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: expected at most {BODY_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"body: expected JSON ({error})") from error
