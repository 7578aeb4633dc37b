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

from http import HTTPStatus

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from edge.access.roles import NOBODY, Kind, Principal, Role, Scope
from edge.problems import Problem

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tidegate"'}


class requires(SecurityBase):  # noqa: N801  # reads as the function that it is to those who use it
    """A check of one request. Two checks for the same are equal, so that FastAPI asks once.

    As FastAPI's own base for such checks it stands in the API's description, by the scope that it asks for.
    """

    def __init__(self, needed: Role | Scope) -> None:
        self.needed = needed
        self.scope = needed.scope if isinstance(needed, Role) else needed
        self.model = HTTPBearer()
        self.scheme_name = self.scope.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, requires) and other.needed == self.needed

    def __hash__(self) -> int:
        return hash(self.needed)

    def __call__(self, request: Request) -> Principal:
        """Who makes the request. Raises `Problem`."""
        principal = principal_of(request)
        if not principal.may(self.scope):
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
