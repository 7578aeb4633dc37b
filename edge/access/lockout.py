"""Who has tried too many wrong passwords, and how long they wait.

Promises: counts per account and per address (an IPv6 address by its /64, which is one customer's); a lock starts at
`LOCK_MS` and doubles with each wrong try after it up to `LOCK_MS_MAX`; what was quiet for `FORGET_MS` is forgotten; at
most `ENTRIES_MAX` of each kind are remembered, the quietest go first. Time is monotonic: setting the clock opens no
lock.
"""

import ipaddress
from collections import OrderedDict

TRIES = {"address": 5, "account": 10}
"""An account takes more than an address does, so that nobody is locked out by one other machine."""
LOCK_MS = 30_000
LOCK_MS_MAX = 15 * 60_000  # ten wrong tries an hour: a random 8-letter password holds for millennia
FORGET_MS = 60 * 60_000
ENTRIES_MAX = 1024  # about 200 KB


class _Wrong:
    __slots__ = ("count", "last_ms", "until_ms")

    def __init__(self) -> None:
        self.count = 0
        self.last_ms = 0
        self.until_ms = 0


class Lockout:
    """The counts. `now_ms` is monotonic."""

    def __init__(self) -> None:
        self._wrong: dict[str, OrderedDict[str, _Wrong]] = {kind: OrderedDict() for kind in TRIES}

    def wait_s(self, account: str, address: str, now_ms: int) -> int:
        """How long until a try is taken, in whole seconds rounded up; 0: now."""
        waits = [
            wrong.until_ms - now_ms
            for kind, name in _names(account, address)
            if (wrong := self._wrong[kind].get(name)) is not None
        ]
        return max(0, -(-max(waits, default=0) // 1000))

    def failed(self, account: str, address: str, now_ms: int) -> None:
        """A wrong try."""
        for kind, name in _names(account, address):
            table = self._wrong[kind]
            wrong = table.get(name)
            if wrong is None or now_ms - max(wrong.last_ms, wrong.until_ms) >= FORGET_MS:
                wrong = table[name] = _Wrong()
            table.move_to_end(name)
            wrong.count += 1
            wrong.last_ms = now_ms
            over = wrong.count - TRIES[kind]
            if over >= 0:
                wrong.until_ms = now_ms + min(LOCK_MS << min(over, 16), LOCK_MS_MAX)
            while len(table) > ENTRIES_MAX:
                table.popitem(last=False)

    def succeeded(self, account: str) -> None:
        """A right one: it clears the account, not the address, from which somebody may be guessing other accounts."""
        self._wrong["account"].pop(account, None)

    def __len__(self) -> int:
        return sum(map(len, self._wrong.values()))


def _names(account: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("account", account), ("address", _network(address))


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 6 and ip.ipv4_mapped is None and not ip.is_loopback:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
