"""The part of the HTTP API about who one is: logging in and out, the first account, tokens.

    GET  /api/v1/me                 who makes this request, what they may, and whether a login is needed
    POST /api/v1/login              {"name": ..., "password": ...}: a session cookie
    POST /api/v1/logout             end it
    POST /api/v1/setup              {"link": ..., "name": ..., "password": ...}: the first account, logged in
    POST /api/v1/me/password        {"old": ..., "new": ...}
    GET  /api/v1/tokens             names, scopes, last use
    POST /api/v1/tokens             {"name": ..., "scopes": [...], "days": 90}: the token, once
    DELETE /api/v1/tokens/{name}    revoke it

Promises: the cookie is HttpOnly and SameSite=Strict, and Secure where the browser came by TLS; tokens are made and
revoked by operators who are logged in themselves, so that a stolen token makes no other; bodies are JSON by content
type, which no form of another site can send. A shell: it decides nothing.
"""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import msgspec
import structlog
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import JSONResponse

from edge.access.desk import LoggedIn
from edge.access.errors import AccessError, BadLogin, LockedOut, NotThere, Refused, SetUpClosed
from edge.access.gate import cookie_name
from edge.access.requires import principal_of, requires
from edge.access.roles import Kind, Principal, Role, Scope
from edge.access.service import AccessService
from edge.api_description import IN_PERSON, answered, problems, takes
from edge.api_documents import LoggedOut, MeDocument, NewTokenDocument, Revoked, TokenList
from edge.problems import Problem, json_body

BODY_BYTES_MAX = 16 * 1024
DAYS_MAX = 3650
DAY_MS = 86_400_000
Answer = dict[str, Any]
log = structlog.get_logger("gateway")


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    password: str


class _SetUp(msgspec.Struct, forbid_unknown_fields=True):
    link: str
    name: str
    password: str


class _NewPassword(msgspec.Struct, forbid_unknown_fields=True):
    old: str
    new: str


class _NewToken(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    scopes: list[Scope]
    days: Annotated[int, msgspec.Meta(ge=1, le=DAYS_MAX)] | None = None


_BodyT = TypeVar("_BodyT", _Login, _SetUp, _NewPassword, _NewToken)
_LOGIN = {"name": "ada", "password": "a horse in the hall"}
_Told = TypeVar("_Told")


def access_router(service: AccessService) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1", tags=["Access"])
    _add_people(router, service)
    _add_tokens(router, service)
    return router


def _add_people(router: APIRouter, service: AccessService) -> None:
    @router.get("/me", response_model=MeDocument)
    async def me(request: Request) -> Answer:
        """Who makes this request."""
        return await _of_request(request, service)

    entered = {**answered(MeDocument, "Logged in; the cookie comes with it."), **problems(400, 401, 403, 415, 429)}

    @router.post("/login", openapi_extra=takes(_Login, _LOGIN), responses=entered)
    async def login(request: Request) -> Response:
        """Log in; the session that the browser had before ends."""
        body = await _json(request, _Login)
        old, address = request.cookies.get(cookie_name(request)), _address(request)
        new = await _asked(service.login(body.name, body.password, address, old), address)
        log.info("logged in", account=new.name, address=address)
        return _session_answer(request, service, new)

    set_up_link = {"link": "the part of the link behind /#/setup/", **_LOGIN}

    @router.post("/setup", openapi_extra=takes(_SetUp, set_up_link), responses=entered)
    async def setup(request: Request) -> Response:
        """Make the first account, an operator's."""
        body = await _json(request, _SetUp)
        address = _address(request)
        new = await _asked(service.set_up(body.link, body.name, body.password, address), address)
        log.warning("first account made", account=new.name, address=address)
        return _session_answer(request, service, new)

    passwords = {"old": "a horse in the hall", "new": "a cow in the rain"}

    @router.post("/me/password", openapi_extra=takes(_NewPassword, passwords), responses=entered)
    async def password(request: Request) -> Response:
        """Another password; every other session of the account ends."""
        who = principal_of(request)
        body = await _json(request, _NewPassword)
        old, address = request.cookies.get(cookie_name(request)), _address(request)
        new = await _asked(service.change_password(who.name or "", body.old, body.new, address, old), address)
        log.info("password changed", account=new.name, address=address)
        return _session_answer(request, service, new)

    @router.post("/logout", responses={**answered(LoggedOut, "Logged out; the cookie is taken back."), **problems(403)})
    async def logout(request: Request) -> Response:
        """End the session."""
        name = cookie_name(request)
        if (session := request.cookies.get(name)) is not None:
            await _asked(service.ask(service.desk.logout, session))
        answer = JSONResponse({"kind": Kind.NOBODY})
        answer.delete_cookie(name, path="/", secure=_is_tls(request), httponly=True, samesite="strict")
        return answer


def _add_tokens(router: APIRouter, service: AccessService) -> None:
    @router.get("/tokens", response_model=TokenList)
    async def tokens(_: Annotated[Principal, Depends(requires(Role.OPERATOR))]) -> Answer:
        """Every token, without the token itself."""
        kept = await _asked(service.ask(service.desk.tokens))
        shown = ("name", "made_by", "created_ms", "expires_ms", "used_ms")
        return {"tokens": [{"scopes": sorted(t.scopes), **{each: getattr(t, each) for each in shown}} for t in kept]}

    @router.post(
        "/tokens", status_code=HTTPStatus.CREATED, response_model=NewTokenDocument, responses=problems(400, 415),
        openapi_extra={**takes(_NewToken, {"name": "grafana", "scopes": ["read"], "days": 90}), **IN_PERSON},
    )  # fmt: skip
    async def new_token(request: Request) -> Answer:
        """A new token; this answer is the only time that it is shown."""
        who = _operator_in_person(request)
        body = await _json(request, _NewToken)
        now_ms = service.wall_ms()
        expires_ms = None if body.days is None else now_ms + body.days * DAY_MS
        add = service.desk.add_token
        token = await _asked(service.ask(add, body.name, body.scopes, who.name or "", now_ms, expires_ms))
        log.info("token made", token=body.name, scopes=sorted(body.scopes), account=who.name)
        return {"name": body.name, "scopes": sorted(set(body.scopes)), "expires_ms": expires_ms, "token": token}

    @router.delete("/tokens/{name}", response_model=Revoked, responses=problems(404), openapi_extra=IN_PERSON)
    async def revoke(request: Request, name: Annotated[str, Path(description="the token's name")]) -> Answer:
        """Revoke a token, at once."""
        who = _operator_in_person(request)
        await _asked(service.ask(service.desk.remove_token, name))
        log.info("token revoked", token=name, account=who.name)
        return {"revoked": name}


def _operator_in_person(request: Request) -> Principal:
    who = requires(Role.OPERATOR)(request)
    if who.kind is not Kind.SESSION:
        raise Problem(HTTPStatus.FORBIDDEN, "tokens are made and revoked by an operator who is logged in, or by CLI")
    return who


def _me(who: Principal, csrf: str | None) -> Answer:
    return {
        "kind": who.kind,
        "name": who.name,
        "role": who.role,
        "scopes": sorted(scope for scope in Scope if who.may(scope)),
        "csrf": csrf,
    }


async def _of_request(request: Request, service: AccessService) -> Answer:
    has_accounts = await _asked(service.ask(service.desk.has_accounts))
    return {**_me(principal_of(request), request.state.csrf), "has_accounts": has_accounts}


async def me_as_json(request: Request, service: AccessService) -> str:
    """What `/api/v1/me` answers. Raises `Problem`."""
    return MeDocument.model_validate(await _of_request(request, service)).model_dump_json()


def _session_answer(request: Request, service: AccessService, new: LoggedIn) -> Response:
    who = Principal(Kind.SESSION, new.name, new.role.scopes)
    answer = JSONResponse({**_me(who, new.csrf), "has_accounts": True})
    answer.set_cookie(
        cookie_name(request),
        new.secret,
        max_age=service.settings.session_s,
        path="/",
        secure=_is_tls(request),
        httponly=True,
        samesite="strict",
    )
    return answer


def _is_tls(request: Request) -> bool:
    return request.url.scheme == "https"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _json(request: Request, kind: type[_BodyT]) -> _BodyT:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected Content-Type: application/json")
    return await json_body(request, kind, BODY_BYTES_MAX)


async def _asked(question: Awaitable[_Told], address: str = "") -> _Told:
    """The answer, with the desk's errors as problems. Raises `Problem`."""
    try:
        return await question
    except LockedOut as error:
        log.warning("login locked", address=address, retry_after_s=error.retry_after_s)
        headers = {"Retry-After": str(error.retry_after_s)}
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, str(error), headers) from None
    except BadLogin as error:
        log.warning("login refused", address=address)
        raise Problem(HTTPStatus.UNAUTHORIZED, str(error)) from None
    except AccessError as error:
        raise Problem(_status_of(error), str(error)) from None


def _status_of(error: AccessError) -> HTTPStatus:
    statuses = {
        SetUpClosed: HTTPStatus.FORBIDDEN,
        Refused: HTTPStatus.UNPROCESSABLE_ENTITY,
        NotThere: HTTPStatus.NOT_FOUND,
    }
    return statuses.get(type(error), HTTPStatus.SERVICE_UNAVAILABLE)
