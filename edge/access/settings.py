"""The part of `[api]` that says who may ask: login, hosts, sessions, TLS. The sections of `edge.config` build on it."""

import ipaddress
import ssl
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge.access.desk import IDLE_S, SESSION_S, AccessRules

HOSTS_MAX = 32


class Login(StrEnum):
    """When reading needs a login. Changing something always needs rights."""

    AUTO = "auto"
    REQUIRED = "required"
    OFF = "off"


def _host_name(text: str) -> str:
    name = text.lower().strip(".")
    if not name or len(name) > 253 or not all(char.isascii() and (char.isalnum() or char in "-._") for char in name):
        raise ValueError("expected a name without scheme and port, like gateway.example")
    return name


class BadCertificate(Exception):
    """`api.tls` cannot be served with. Who must act: the operator."""

    def __init__(self, cert_file: Path, key_file: Path, why: str) -> None:
        super().__init__(f"api.tls: cannot use the certificate {cert_file} with the key {key_file}: {why}")
        self.cert_file = cert_file
        self.key_file = key_file


class ServerTls(BaseModel):
    """TLS of the gateway's own address."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    cert_file: Path
    key_file: Path

    def context(self) -> ssl.SSLContext:
        """The context to serve with: TLS 1.2 and later. Raises `BadCertificate`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.load(context)
        return context

    def load(self, context: ssl.SSLContext) -> None:
        """Take certificate and key from their files; connections from now on get them. Raises `BadCertificate`."""
        try:
            context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:  # ssl.SSLError is one
            raise BadCertificate(self.cert_file, self.key_file, error.strerror or str(error)) from None


class AccessSettings(BaseModel):
    """Who may ask. `hosts`: the names under which browsers reach the gateway, beside addresses and `localhost`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    login: Login = Login.AUTO
    hosts: Annotated[tuple[Annotated[str, AfterValidator(_host_name)], ...], Field(max_length=HOSTS_MAX)] = ()
    session_s: Annotated[int, Field(ge=60, le=90 * 86_400)] = SESSION_S
    session_idle_s: Annotated[int, Field(ge=60, le=90 * 86_400)] = IDLE_S
    tls: ServerTls | None = None

    def access_rules(self) -> AccessRules:
        """What the core goes by."""
        login = {Login.REQUIRED: True, Login.OFF: False, Login.AUTO: None if is_loopback(self.host) else True}
        return AccessRules(login[self.login], 1000 * self.session_s, 1000 * self.session_idle_s)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_be_asked_as(host_header: str, settings: AccessSettings) -> bool:
    """Whether a request's Host names this gateway: an address, `localhost`, the bind address, or one of `api.hosts`.

    An address is safe: a page that an attacker's name was made to point here (DNS rebinding) sends that name.
    """
    name = _without_port(host_header)
    if name is None:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in ("localhost", settings.host.lower(), *settings.hosts)
    return True


def _without_port(host_header: str) -> str | None:
    """The name or address of `name`, `name:port`, `[v6]` or `[v6]:port`; None for anything else."""
    text = host_header.lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return None
        port = port[1:]
    else:
        name, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdecimal()):
        return None
    return name.removesuffix(".")
