"""What tests of routes with rights share: a stand-in for the middleware that says who makes a request."""

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.access import Kind, Principal, Role


def signed_in(app: ASGIApp, role: Role, name: str = "ada") -> ASGIApp:
    """The application as somebody with this role sees it."""
    principal = Principal(Kind.SESSION, name, role.scopes)

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        state = {**scope.get("state", {}), "principal": principal}
        await app({**scope, "state": state}, receive, send)

    return asked
