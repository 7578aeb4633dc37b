"""`tidegate edge audit`: the gateway's ledger against the cloud, device by device; what is missing is sent again."""

from dataclasses import asdict
from typing import Any

from rich.console import Console

from edge.audit import AccountAudit, compare, delivered_of
from edge.config import EdgeConfig
from edge.intervals import Intervals
from tidegate.cloud_seqs import CloudSeqs, cloud_seqs
from tidegate.console import make_table
from tidegate.edge_access import Access, GatewayError
from tidegate.edge_tables import plain

RANGES_SHOWN = 8
Document = dict[str, Any]


def audit(
    gateway: Access, config: EdgeConfig, site: str | None, device: str | None, *, destination: str, resend: bool
) -> Document:
    """The difference, as a document. Raises `GatewayError`, `CloudError`."""
    told = gateway.ledger(site, device, only_open=False)
    cloud = cloud_seqs(config.influx)
    accounts = [_document(each, gateway, resend=resend) for each in _audits(told, cloud, destination)]
    return {
        "destination": destination,
        "agrees": all(each["agrees"] for each in accounts) and not told["truncated"],
        "truncated": told["truncated"],
        "delivered": sum(each["delivered"] for each in accounts),
        "in_cloud": sum(each["in_cloud"] for each in accounts),
        "missing": sum(each["missing"]["count"] for each in accounts),
        "accounts": accounts,
    }


def _audits(told: Document, cloud: CloudSeqs, destination: str) -> list[AccountAudit]:
    found: list[AccountAudit] = []
    asked: tuple[str, str] | None = None
    boots: dict[int, Intervals] = {}
    for account in told["accounts"]:  # by device, then by boot
        try:
            delivered = delivered_of(account, destination)
        except (KeyError, TypeError, ValueError):
            raise GatewayError(f"the gateway's ledger does not speak of {destination}") from None
        if asked != (delivered.site, delivered.device):
            asked = delivered.site, delivered.device
            boots = dict(cloud.of_device(*asked))
        found.append(compare(delivered, boots.get(delivered.boot, Intervals())))
    return found


def _document(each: AccountAudit, gateway: Access, *, resend: bool) -> Document:
    document = {**asdict(each), "agrees": each.agrees, "resent": None}
    if resend and each.missing.ranges:
        document["resent"] = gateway.resend(each.site, each.device, each.boot, each.missing.ranges)
    return document


def print_audit(console: Console, told: Document) -> None:
    """One line an account that does not agree, and the answer."""
    table = make_table("device", "boot", "delivered", "in the cloud", "missing there", "sent again")
    for each in told["accounts"]:
        if each["agrees"]:
            continue
        ranges = each["missing"]["ranges"]
        shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges[:RANGES_SHOWN])
        more = ", ..." if len(ranges) > RANGES_SHOWN or not each["is_exact"] else ""
        resent = each["resent"]
        table.add_row(
            plain(f"{each['site']}/{each['device']}"),
            "gateway's" if each["foreign"] else str(each["boot"]),
            str(each["delivered"]),
            str(each["in_cloud"]),
            f"{shown}{more} ({each['missing']['count']})",
            "-" if resent is None else f"{resent['again']}, no longer here {resent['gone']}",
        )
    if table.row_count:
        console.print(table)
    if told["truncated"]:
        console.print("more accounts than are asked about at once: ask with --site or --device")
    counts = f"delivered {told['delivered']}, in the cloud {told['in_cloud']}, missing there {told['missing']}"
    console.print(plain(f"{told['destination']}: {counts}"))
    console.print(f"ledger and cloud agree: {'yes' if told['agrees'] else 'no'}")
