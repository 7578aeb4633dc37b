"""Who may do what: roles of people, scopes of tokens, and the one who makes a request.

A role is a set of scopes; to operate implies to read. Nothing here asks anybody anything: values only.
"""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a request may be about. `read`: look; `ingest`: post readings; `operate`: look, and change things."""

    READ = "read"
    INGEST = "ingest"
    OPERATE = "operate"


class Role(StrEnum):
    """What a person is to the gateway: a viewer looks, an operator looks and changes things."""

    VIEWER = "viewer"
    OPERATOR = "operator"

    @property
    def scopes(self) -> frozenset[Scope]:
        """What the role may do."""
        return _ROLE_SCOPES[self]

    @property
    def scope(self) -> Scope:
        """The scope that a request needs where it needs this role."""
        return Scope.OPERATE if self is Role.OPERATOR else Scope.READ


_ROLE_SCOPES = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.INGEST, Scope.OPERATE}),
}


class Kind(StrEnum):
    """How a request says who makes it."""

    NOBODY = "nobody"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105  # a kind of proof, no proof
    CONFIGURED_TOKEN = "configured-token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Principal:
    """The one who makes a request: a person (`name` is the account's) or a program (the token's name)."""

    kind: Kind
    name: str | None
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether this is allowed to them."""
        return scope in self.scopes or (scope is Scope.READ and Scope.OPERATE in self.scopes)

    @property
    def role(self) -> Role | None:
        """The role that comes nearest to what they may; None for one who may not even look."""
        if self.may(Scope.OPERATE):
            return Role.OPERATOR
        return Role.VIEWER if self.may(Scope.READ) else None


NOBODY = Principal(Kind.NOBODY, None, frozenset())
ANYBODY = Principal(Kind.NOBODY, None, frozenset({Scope.READ}))
"""Nobody in particular, where reading is open."""
