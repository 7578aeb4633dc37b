"""What tests of routes with rights share: a stand-in for the middleware, accounts that cost no time, and a clock."""

from pathlib import Path
from random import Random

from argon2 import PasswordHasher
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.access.desk import AccessDesk, AccessRules
from edge.access.records import FILE_NAME
from edge.access.roles import Kind, Principal, Role
from edge.access.service import AccessService
from edge.config import ApiSettings
from sensors.clock import Clock

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "a horse in the hall"
ADDRESS = "192.0.2.7"


def signed_in(app: ASGIApp, role: Role, name: str = "ada") -> ASGIApp:
    """The application as somebody with this role sees it."""
    principal = Principal(Kind.SESSION, name, role.scopes)

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        state = {**scope.get("state", {}), "principal": principal}
        await app({**scope, "state": state}, receive, send)

    return asked


def access_desk(folder: Path, rules: AccessRules | None = None, seed: int = 1) -> AccessDesk:
    """A desk over the file in a folder, with cheap passwords and secrets that a seed gives."""
    return AccessDesk(folder / FILE_NAME, rules or AccessRules(), CHEAP, Random(seed).randbytes)


def access_service(folder: Path, clock: Clock, settings: ApiSettings | None = None) -> AccessService:
    """A service over the file in a folder, with cheap passwords."""
    return AccessService(settings or ApiSettings(), folder / FILE_NAME, clock, CHEAP)
