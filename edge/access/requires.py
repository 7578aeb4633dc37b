"""`requires(Role.OPERATOR)`: the one line by which a route says who may call it.

As a dependency of a FastAPI route (add `dependencies=[...]` when the route does not need to know who it is):

    @router.post("/api/v1/alerts/{alert_id}/ack")
    async def acknowledge(alert_id: int, who: Annotated[Principal, Depends(requires(Role.OPERATOR))]) -> Ack: ...

or as the first line of a handler that takes the request itself:

    who = requires(Role.OPERATOR)(request)

Promises: without enough rights it raises `Problem`: 401 for nobody in particular, 403 for somebody who may less. The
middleware (`edge.access.gate`) has looked at cookie, token and CSRF protection before; a request that did not pass it
is nobody's. Reading needs no line: the middleware asks for `Role.VIEWER` wherever the configuration wants a login.
In a test, `signed_in(app, Role.OPERATOR)` of tests/edge/access/kit.py stands for the middleware.
"""

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request

from edge.access.roles import NOBODY, Kind, Principal, Role, Scope
from edge.problems import Problem

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tidegate"'}


@dataclass(frozen=True, slots=True)
class requires:  # noqa: N801  # reads as the function that it is to those who use it
    """A check of one request. Two checks for the same are equal, so that FastAPI asks once."""

    needed: Role | Scope

    def __call__(self, request: Request) -> Principal:
        """Who makes the request. Raises `Problem`."""
        principal = principal_of(request)
        scope = self.needed.scope if isinstance(self.needed, Role) else self.needed
        if not principal.may(scope):
            raise refusal(principal, self.needed)
        return principal


def principal_of(request: Request) -> Principal:
    """Who makes the request, as the middleware found."""
    found = getattr(request.state, "principal", NOBODY)
    return found if isinstance(found, Principal) else NOBODY


def refusal(principal: Principal, needed: Role | Scope) -> Problem:
    """What is answered to one who may not: 401 to nobody in particular, who can log in; 403 to somebody."""
    wanted = f"the rights of a {needed}" if needed is Role.VIEWER else f"the rights of an {needed}"
    if isinstance(needed, Scope):
        wanted = f"the scope {needed}"
    if principal.kind is Kind.NOBODY:
        why = f"expected {wanted}: log in, or send a token (Authorization: Bearer TOKEN)"
        return Problem(HTTPStatus.UNAUTHORIZED, why, CHALLENGE)
    return Problem(HTTPStatus.FORBIDDEN, f"expected {wanted}; {principal.name} does not have them")
