"""Addresses as people write them: `8087`, `host:8087`, `[::1]:8087`.

Promises: `parse_address` returns host and port or raises `AddressError` naming what was expected.
"""

from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
"""Where a bare port listens: a fault proxy has no business on other interfaces unless it is asked."""
PORT_MAX = 65_535


class AddressError(ValueError):
    """Not an address. Carries `field` and `text`."""

    def __init__(self, field: str, text: str) -> None:
        self.field = field
        self.text = text
        super().__init__(
            f"{field}: expected PORT, HOST:PORT or [IPV6]:PORT with a port up to {PORT_MAX}, found {text!r}"
        )


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP end point; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, field: str = "address") -> Address:
    """Read an address; `field` is what an error calls it. Raises `AddressError`."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(field, text)
    if not (port.isascii() and port.isdigit() and int(port) <= PORT_MAX) or (not host and ":" in text):
        raise AddressError(field, text)
    return Address(host or LOOPBACK, int(port))
