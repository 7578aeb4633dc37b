"""Who has tried too many wrong passwords or tokens, and how long they wait.

Promises: passwords count per account and per address, tokens per address (an IPv6 address by its /64, which is one
customer's); a lock starts at `LOCK_MS` and doubles with each wrong try after it up to `LOCK_MS_MAX`; what was quiet
for `FORGET_MS` is forgotten; at most `ENTRIES_MAX` of each kind are remembered, the quietest go first. While a lock
holds, no token is looked at but one that was right within `FORGET_MS`: who guesses learns nothing, and programs that
work go on working behind the same address. One wrong token that is repeated counts once: a program with a revoked token
is no guesser. Time is monotonic: setting the clock opens no lock.
"""

import ipaddress
from collections import OrderedDict

TRIES = {"address": 5, "account": 10}
"""An account takes more than an address does, so that nobody is locked out by one other machine."""
TOKEN_TRIES = 20  # different ones: more than a house has programs that somebody could have given an old token
LOCK_MS = 30_000
LOCK_MS_MAX = 15 * 60_000  # ten wrong tries an hour: a random 8-letter password holds for millennia
FORGET_MS = 60 * 60_000
ENTRIES_MAX = 1024  # about 200 KB
WRONG_KEPT = 8  # of one address: programs with an old token, told apart from a guesser


class _Wrong:
    __slots__ = ("count", "last_ms", "until_ms")

    def __init__(self) -> None:
        self.count = 0
        self.last_ms = 0
        self.until_ms = 0


class _Counts:
    """Wrong tries by name."""

    def __init__(self, tries: int) -> None:
        self._tries = tries
        self._wrong: OrderedDict[str, _Wrong] = OrderedDict()

    def wait_ms(self, name: str, now_ms: int) -> int:
        wrong = self._wrong.get(name)
        return 0 if wrong is None else wrong.until_ms - now_ms

    def failed(self, name: str, now_ms: int) -> None:
        wrong = self._wrong.get(name)
        if wrong is None or now_ms - max(wrong.last_ms, wrong.until_ms) >= FORGET_MS:
            wrong = self._wrong[name] = _Wrong()
        self._wrong.move_to_end(name)
        wrong.count += 1
        wrong.last_ms = now_ms
        over = wrong.count - self._tries
        if over >= 0:
            wrong.until_ms = now_ms + min(LOCK_MS << min(over, 16), LOCK_MS_MAX)
        while len(self._wrong) > ENTRIES_MAX:
            self._wrong.popitem(last=False)

    def forget(self, name: str) -> None:
        self._wrong.pop(name, None)

    def __len__(self) -> int:
        return len(self._wrong)


class Lockout:
    """The counts of passwords. `now_ms` is monotonic."""

    def __init__(self) -> None:
        self._accounts = _Counts(TRIES["account"])
        self._addresses = _Counts(TRIES["address"])

    def wait_s(self, account: str, address: str, now_ms: int) -> int:
        """How long until a try is taken, in whole seconds rounded up; 0: now."""
        by_account, by_address = (
            self._accounts.wait_ms(account, now_ms),
            self._addresses.wait_ms(_network(address), now_ms),
        )
        return _seconds(max(by_account, by_address))

    def failed(self, account: str, address: str, now_ms: int) -> None:
        """A wrong try."""
        self._accounts.failed(account, now_ms)
        self._addresses.failed(_network(address), now_ms)

    def succeeded(self, account: str) -> None:
        """A right one: it clears the account, not the address, from which somebody may be guessing other accounts."""
        self._accounts.forget(account)

    def __len__(self) -> int:
        return len(self._accounts) + len(self._addresses)


class TokenLockout:
    """The counts of tokens, which it knows by their digests alone. `now_ms` is monotonic."""

    def __init__(self) -> None:
        self._counts = _Counts(TOKEN_TRIES)
        self._right: OrderedDict[bytes, int] = OrderedDict()
        self._wrong: OrderedDict[str, tuple[bytes, ...]] = OrderedDict()

    def wait_s(self, token: bytes, address: str, now_ms: int) -> int:
        """How long until this token is looked at, in whole seconds rounded up; 0: now."""
        if now_ms - self._right.get(token, now_ms - FORGET_MS) < FORGET_MS:
            return 0
        return _seconds(self._counts.wait_ms(_network(address), now_ms))

    def failed(self, token: bytes, address: str, now_ms: int) -> None:
        """It was looked at, and is none."""
        self._right.pop(token, None)
        network = _network(address)
        known = self._wrong.get(network, ())
        if token not in known:
            self._counts.failed(network, now_ms)
        self._wrong[network] = (*(one for one in known if one != token), token)[-WRONG_KEPT:]
        self._wrong.move_to_end(network)
        while len(self._wrong) > ENTRIES_MAX:
            self._wrong.popitem(last=False)

    def succeeded(self, token: bytes, now_ms: int) -> None:
        """It was looked at, and is one. The address keeps its count: somebody else there may be guessing."""
        self._right[token] = now_ms
        self._right.move_to_end(token)
        while len(self._right) > ENTRIES_MAX:
            self._right.popitem(last=False)

    def __len__(self) -> int:
        return len(self._counts) + len(self._right) + len(self._wrong)


def _seconds(ms: int) -> int:
    return max(0, -(-ms // 1000))


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 6 and ip.ipv4_mapped is None and not ip.is_loopback:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
