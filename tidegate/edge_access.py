"""How `tidegate edge ...` reaches a gateway's data: by its HTTP API while it runs, else by its file, under its lock.

Promises: exactly one of the two is used, and the answers have the same shape; a file that no gateway has made is not
made by asking; nothing waits longer than `TIMEOUT_S`.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from http import HTTPStatus
from random import Random
from typing import Any, Protocol, cast

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from edge.access.errors import NotThere
from edge.access.records import FILE_NAME
from edge.access.roles import Scope
from edge.access.settings import ServerTls
from edge.alerts.api import alert_document, alert_page
from edge.alerts.book import Listed
from edge.config import EdgeConfig
from edge.desk import STORE_FILE, Desk
from edge.destinations import UnknownDestination
from edge.quarantine import item_document
from edge.status import destination_status, ledger_status, store_status
from edge.store import StoreError, StoreLocked, StoreTooNew
from sensors.alerts import Severity
from sensors.clock import SystemClock
from tidegate.edge_accounts import accounts, base_url
from tidegate.errors import ConfigError, FrontDoorError, Problem, TakenError

TIMEOUT_S = 30.0  # a retry of a hundred messages is a hundred commits
CONNECT_TIMEOUT_S = 3.0
MADE_BY_COMMAND = "tidegate edge"
PASS_MS = 86_400_000  # `status --watch` may run for a day; the token goes when the command ends
Document = dict[str, Any]


def wait_s(seconds: float) -> None:
    """Do nothing for a while; Ctrl-C ends it at once."""
    threading.Event().wait(seconds)


class GatewayError(FrontDoorError):
    """The gateway answered, and refuses; in its words."""


class Access(Protocol):
    """A gateway's data, running or not."""

    def status(self) -> Document:
        """How things stand; `running` says which access this is."""

    def ledger(self, site: str | None, device: str | None, only_open: bool) -> Document:
        """See `edge.ledger_report`."""

    def quarantine(self, after_id: int, limit: int) -> Document:
        """`count`, and `items` from behind an id on."""

    def item(self, item_id: int) -> Document:
        """One item with its whole payload. Raises `GatewayError` if there is none."""

    def retry(self, item_ids: Sequence[int]) -> Document:
        """`results`, one for each id."""

    def purge(self, item_ids: Sequence[int] | None) -> Document:
        """`purged`: how many went. None: all."""

    def forget(self, name: str) -> Document:
        """`released`: readings that a destination, configured no more, had coming. Raises `GatewayError`."""

    def resend(self, site: str, device: str, boot: int, ranges: Sequence[tuple[int, int]]) -> Document:
        """`again`: how many readings are sent again; `gone`: how many are no longer in the store."""

    def alerts(self, state: str, severity: Severity | None, limit: int) -> Document:
        """`total`, and `items`, the newest first."""

    def acknowledge(self, alert_id: int, by: str) -> Document:
        """The alert. Raises `GatewayError` if there is none."""


class Asking(Protocol):
    """A running gateway's HTTP API."""

    def ask(
        self, method: str, path: str, query: dict[str, str] | None = None, *, body: Document | None = None
    ) -> Document:
        """The answer to one request under /api/v1. Raises `GatewayError`."""


@contextlib.contextmanager
def running(config: EdgeConfig) -> Iterator[Asking]:
    """The HTTP API of a gateway that runs. Raises `GatewayError` if none does."""
    with _pool(config) as pool:
        by_http = _ByHttp(config, pool)
        if not by_http.is_running():
            raise GatewayError(f"no gateway answers at {config.api.host}:{config.api.port}: this needs one that runs")
        with _pass(config) as by_http.token:
            yield by_http


def _pool(config: EdgeConfig) -> urllib3.PoolManager:
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=TIMEOUT_S)
    return urllib3.PoolManager(retries=False, timeout=timeout, maxsize=1, **_pinned(config.api.tls))


@contextlib.contextmanager
def access(config: EdgeConfig) -> Iterator[Access]:
    """The way to the gateway of a configuration.

    Raises `TakenError` if a gateway holds the store but cannot be asked, `ConfigError` if there is no store.
    """
    with _pool(config) as pool:
        by_http = _ByHttp(config, pool)
        if by_http.is_running():
            with _pass(config) as by_http.token:
                yield by_http
            return
    with _by_file(config) as by_file:
        yield by_file


@contextlib.contextmanager
def _pass(config: EdgeConfig) -> Iterator[str]:
    """A token for one command: the configuration's; else, for whoever may write the gateway's accounts, one of theirs.

    Without either it is empty, and the gateway answers what it answers to anybody.
    """
    configured = config.api.read_token()
    if configured or not os.access(config.store.data_dir / FILE_NAME, os.W_OK):
        yield configured
        return
    name = f"cli-{os.getpid()}"
    now_ms = SystemClock().wall_ms()
    with accounts(config) as desk:
        made = desk.add_token(name, [Scope.INGEST, Scope.OPERATE], MADE_BY_COMMAND, now_ms, now_ms + PASS_MS)
    try:
        yield made
    finally:
        with accounts(config) as desk, contextlib.suppress(NotThere):
            desk.remove_token(name)


def _pinned(tls: ServerTls | None) -> dict[str, Any]:
    """How to know a gateway by its certificate's file, whatever name it is asked by. Raises `ConfigError`."""
    if tls is None:
        return {}
    try:
        certificate = x509.load_pem_x509_certificates(tls.cert_file.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise ConfigError((Problem("", "api.tls.cert_file", f"expected a certificate: {error}"),)) from None
    return {"cert_reqs": "CERT_NONE", "assert_fingerprint": certificate.fingerprint(hashes.SHA256()).hex()}


class _ByHttp:
    def __init__(self, config: EdgeConfig, pool: urllib3.PoolManager) -> None:
        self._base = base_url(config.api)
        self._pool = pool
        self.token = ""

    def is_running(self) -> bool:
        try:
            answer = self._pool.request("GET", f"{self._base}/livez", redirect=False)
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == HTTPStatus.OK

    def status(self) -> Document:
        return {"running": True, **self.ask("GET", "/status")}

    def ledger(self, site: str | None, device: str | None, only_open: bool) -> Document:
        wanted = {"site": site, "device": device, "open": "true" if only_open else None}
        return self.ask("GET", "/ledger", {key: value for key, value in wanted.items() if value is not None})

    def quarantine(self, after_id: int, limit: int) -> Document:
        return self.ask("GET", "/quarantine", {"after": str(after_id), "limit": str(limit)})

    def item(self, item_id: int) -> Document:
        return self.ask("GET", f"/quarantine/{item_id}")

    def retry(self, item_ids: Sequence[int]) -> Document:
        return self.ask("POST", "/quarantine/retry", body={"ids": list(item_ids)})

    def purge(self, item_ids: Sequence[int] | None) -> Document:
        return self.ask(
            "POST", "/quarantine/purge", body={"all": True} if item_ids is None else {"ids": list(item_ids)}
        )

    def forget(self, name: str) -> Document:
        return self.ask("POST", "/destinations/forget", body={"name": name})

    def resend(self, site: str, device: str, boot: int, ranges: Sequence[tuple[int, int]]) -> Document:
        missing = {"site": site, "device": device, "boot": boot, "ranges": [list(each) for each in ranges]}
        return self.ask("POST", "/ledger/resend", body=missing)

    def alerts(self, state: str, severity: Severity | None, limit: int) -> Document:
        wanted = {"state": state, "limit": str(limit)} | ({"severity": severity.value} if severity else {})
        return self.ask("GET", "/alerts", wanted)

    def acknowledge(self, alert_id: int, by: str) -> Document:
        return self.ask("POST", f"/alerts/{alert_id}/acknowledge", body={"by": by})

    def ask(
        self, method: str, path: str, query: dict[str, str] | None = None, *, body: Document | None = None
    ) -> Document:
        """The answer to one request under /api/v1. Raises `GatewayError`."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"{self._base}/api/v1{path}"
        try:
            if body is None:
                answer = self._pool.request(method, url, fields=query, headers=headers, redirect=False)
            else:
                headers["Content-Type"] = "application/json"
                answer = self._pool.request(method, url, body=json.dumps(body), headers=headers, redirect=False)
            document = json.loads(answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise GatewayError(f"the gateway at {self._base} does not answer: {error}") from None
        except ValueError:
            raise GatewayError(f"what answers at {self._base} is no Tidegate gateway") from None
        if not isinstance(document, dict):
            raise GatewayError(f"what answers at {self._base} is no Tidegate gateway")
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise GatewayError(f"the gateway refuses: {document.get('detail', answer.status)}")
        return cast("Document", document)


@contextlib.contextmanager
def _by_file(config: EdgeConfig) -> Iterator[Access]:
    from edge.gateway import open_desk  # late: it loads all that a running gateway needs

    path = config.store.data_dir / STORE_FILE
    if not path.exists():
        raise ConfigError((Problem("", "store.data_dir", f"no gateway has run here: there is no {path}"),))
    try:
        desk = open_desk(config, Random(0))  # noqa: S311  # nothing is sent, so nothing is jittered
    except StoreLocked:
        where = f"{config.api.host}:{config.api.port}"
        raise TakenError(f"a gateway holds {path}, but none answers at {where} (api.host, api.port)") from None
    except (StoreError, StoreTooNew) as error:
        raise GatewayError(str(error)) from None
    try:
        yield _ByFile(desk)
    except StoreError as error:
        raise GatewayError(str(error)) from None
    finally:
        desk.close()


class _ByFile:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def status(self) -> Document:
        standing = self._desk.standing(0, 0)
        return {
            "running": False,
            "devices": standing.devices,
            "ledger": ledger_status(standing).model_dump(),
            "destinations": [each.model_dump(mode="json") for each in destination_status(standing, {})],
            "store": store_status(standing, None).model_dump(),
        }

    def ledger(self, site: str | None, device: str | None, only_open: bool) -> Document:
        return asdict(self._desk.ledger_report(site=site, device=device, only_open=only_open))

    def quarantine(self, after_id: int, limit: int) -> Document:
        items = self._desk.quarantine.items(after_id=after_id, limit=limit)
        return {"count": self._desk.quarantine.count(), "items": [item_document(item) for item in items]}

    def item(self, item_id: int) -> Document:
        item = self._desk.quarantine.item(item_id)
        if item is None:
            raise GatewayError(f"there is no item {item_id} in quarantine")
        return item_document(item)

    def retry(self, item_ids: Sequence[int]) -> Document:
        return {"results": [asdict(each) for each in self._desk.quarantine.retry(item_ids)]}

    def purge(self, item_ids: Sequence[int] | None) -> Document:
        return {"purged": self._desk.quarantine.purge(item_ids)}

    def forget(self, name: str) -> Document:
        try:
            return {"forgotten": name, "released": self._desk.forget_destination(name)}
        except UnknownDestination as error:
            raise GatewayError(str(error)) from None

    def resend(self, site: str, device: str, boot: int, ranges: Sequence[tuple[int, int]]) -> Document:
        return asdict(self._desk.resend.ask(site, device, boot, ranges))

    def alerts(self, state: str, severity: Severity | None, limit: int) -> Document:
        page = alert_page(self._desk.alerts.book, Listed(state, severity, limit=limit))
        return page.model_dump(mode="json")

    def acknowledge(self, alert_id: int, by: str) -> Document:
        row = self._desk.alerts.book.acknowledge(alert_id, by, SystemClock().wall_ms())
        if row is None:
            raise GatewayError(f"there is no alert {alert_id}")
        return alert_document(row).model_dump(mode="json")
