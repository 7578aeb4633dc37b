"""Is it working? One sentence from the status, and where readings are stuck.

The sentence holds no number that moves, so that a screen reader speaks only when something has happened. The worst
truth is said first: what harms readings now, then what keeps them from moving, then what will pass by itself.
"""

from edge.dashboard.documents import Verdict
from edge.status import GatewayStatus

BEHIND_MS = 15_000  # an oldest reading above this is a backlog to catch up with, not the rhythm of batches
_BUDGET = {1: "its backlog waits", 2: "raw readings wait, rollups and alerts go", 3: "only alerts go"}


def verdict(status: GatewayStatus) -> Verdict:
    """What to make of a status."""
    return (
        _of_the_store(status)
        or _of_the_links(status)
        or _of_the_cloud(status)
        or _of_the_others(status)
        or _of_the_backlog(status)
    )


def _of_the_store(status: GatewayStatus) -> Verdict | None:
    if not status.store.healthy:
        return Verdict(
            level="bad",
            headline="The store cannot be written.",
            detail=f"Nothing is acknowledged, so devices and broker keep their readings. {status.store.error or ''}",
            stuck_at="gateway",
        )
    if not status.ledger.balances or not all(each.balances for each in status.destinations):
        return Verdict(
            level="bad",
            headline="The ledger does not balance.",
            detail="Received is not delivered + held + thinned + expired + quarantined + suppressed."
            " Keep the store's file and report this.",
        )
    if status.store.wal_held_up:
        return Verdict(
            level="warn",
            headline="Another program holds up the store.",
            detail="It reads the store's file without an end, so that its write-ahead log grows. End that program.",
        )
    if status.store.waits_for_clock:
        return Verdict(
            level="warn",
            headline="The gateway's clock is not set. Readings wait for it.",
            detail="They are kept here, and get their true times as soon as it is set, by NTP or by hand.",
            stuck_at="gateway",
        )
    return None


def _of_the_links(status: GatewayStatus) -> Verdict | None:
    devices, uplink = status.devices_link, status.uplink
    if devices.state == "down" and uplink.state == "down":
        return Verdict(
            level="bad",
            headline="Neither the broker nor the cloud can be reached.",
            detail=f"Broker: {devices.why}. Cloud: {uplink.why}. What was received is safe here.",
            stuck_at="devices",
        )
    if devices.state == "down":
        return Verdict(
            level="bad",
            headline="The broker cannot be reached: nothing arrives.",
            detail=f"Broker: {devices.why}. Devices keep their readings meanwhile.",
            stuck_at="devices",
        )
    if uplink.state == "down":
        return Verdict(
            level="warn",
            headline="The cloud cannot be reached. Readings are kept here.",
            detail=f"Cloud: {uplink.why}. Nothing is lost; they are sent when the link returns.",
            stuck_at="cloud",
        )
    return None


def _of_the_cloud(status: GatewayStatus) -> Verdict | None:
    forward = status.forward
    if forward.paused:
        return Verdict(
            level="bad",
            headline="The cloud refuses the gateway. Readings are kept here.",
            detail=f"Check token, organisation and bucket. {forward.last_error or ''}",
            stuck_at="cloud",
        )
    if forward.last_error is not None and forward.backlog:
        return Verdict(
            level="warn",
            headline="The cloud takes readings only haltingly.",
            detail=f"Its last answer: {forward.last_error}",
            stuck_at="cloud",
        )
    return None


def _of_the_others(status: GatewayStatus) -> Verdict | None:
    """Destinations besides the first, and everybody's budgets."""
    for each in status.destinations:
        if not each.configured and each.held:
            return Verdict(
                level="warn",
                headline="Readings are held for a destination that is not configured.",
                detail=f"Put {each.name} back, or forget it: tidegate edge destination forget {each.name}.",
            )
        if each.link is not None and each.link.state == "down":
            return Verdict(
                level="warn",
                headline="A destination cannot be reached. Its readings are kept here.",
                detail=f"{each.name}: {each.link.why}. The others are served all the same.",
                stuck_at="cloud",
            )
        if each.forecast is not None and each.forecast.level:
            return Verdict(
                level="warn",
                headline="The month's budget of a link is nearly used up, or all of it.",
                detail=f"{each.name}: {_BUDGET[each.forecast.level]}. What waits is kept here until the next month.",
                stuck_at="cloud",
            )
    return None


def _of_the_backlog(status: GatewayStatus) -> Verdict:
    forward = status.forward
    if forward.oldest_unsent_ms is not None and forward.oldest_unsent_ms > BEHIND_MS:
        if forward.catch_up_s is not None:
            return Verdict(
                level="busy",
                headline="Catching up with the cloud.",
                detail="The link is back; what waited here is being sent.",
            )
        return Verdict(
            level="warn",
            headline="The backlog does not shrink.",
            detail="Readings arrive as fast as they are sent, or faster.",
            stuck_at="cloud",
        )
    if status.devices_link.state == "unknown":
        return Verdict(level="busy", headline="Starting.", detail="Connecting to the broker.")
    if status.devices == 0:
        return Verdict(level="ok", headline="Ready for the first device.", detail="The broker is connected.")
    return Verdict(level="ok", headline="Everything is working.", detail="Readings arrive and reach the cloud.")
