"""What can go wrong with accounts, sessions and tokens, as classes that say who must act.

AccessError
+-- AccessUnusable   the file of accounts cannot be opened, read or written: the operator mends it
+-- AccessTooNew     a newer Tidegate wrote it: the operator installs that version
+-- BadLogin         name and password do not belong together: whoever logs in
+-- BadToken         no token of ours, or one that is over: whoever runs the program that sent it
+-- LockedOut        too many wrong tries: whoever logs in waits
+-- SetUpClosed      the set-up link is wrong, used, or too old, or there are accounts already
+-- Refused          a name, password, role or scope that cannot be taken; says what was expected
+-- NotThere         no such account or token
"""


class AccessError(Exception):
    """The base; nothing was changed when one is raised."""


class AccessUnusable(AccessError):
    """SQLite or the disk refused."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"cannot use the accounts in {path}: {why}")
        self.path = path
        self.why = why


class AccessTooNew(AccessError):
    """The file was written by a newer Tidegate; it is left as it is."""


class BadLogin(AccessError):
    """One message for a wrong name and for a wrong password: the answer does not say which accounts exist."""

    def __init__(self) -> None:
        super().__init__("name and password do not belong together")


class BadToken(AccessError):
    """What came as a bearer token is none."""

    def __init__(self) -> None:
        super().__init__("the token is unknown, revoked or over")


class LockedOut(AccessError):
    """`retry_after_s`: when the next try is taken."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many wrong tries: the next one is taken in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class SetUpClosed(AccessError):
    """The first account cannot be made this way."""


class Refused(AccessError):
    """`field`: what was given; the message says what was expected."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: {expected}")
        self.field = field


class NotThere(AccessError):
    """Nothing has this name."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"there is no {what} {name}")
