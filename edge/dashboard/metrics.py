"""The status in Prometheus' text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/.

Names and base units by Prometheus' conventions; every name is in docs/metrics.md. No label holds what a device sends,
so the number of series is fixed.
"""

from collections.abc import Iterator, Mapping

from edge.status import GatewayStatus, LinkStatus
from sensors.alerts import Severity

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metrics_text(status: GatewayStatus, streams: int) -> str:
    """Everything, ended by a line feed. `streams`: live streams that are open."""
    parts = (
        _readings(status),
        _forward(status),
        _destinations(status),
        _links(status),
        _alerts(status),
        _process(status, streams),
        _machine(status),
    )
    return "".join(text for part in parts for text in part)


def _metric(name: str, kind: str, words: str, *samples: tuple[Mapping[str, str], float | int | None]) -> str:
    """One metric with its samples; one that is None now is left out."""
    lines = [f"# HELP {name} {words}\n# TYPE {name} {kind}\n"]
    for labels, value in samples:
        if value is None:
            continue
        inner = ",".join(f'{key}="{text.translate(_LABEL_ESCAPES)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value}\n" if inner else f"{name} {value}\n")
    return "".join(lines)


def _readings(status: GatewayStatus) -> Iterator[str]:
    ledger = status.ledger
    counts = {
        "received": (ledger.received, "Readings committed to the log."),
        "delivered": (ledger.delivered, "Readings that the cloud has accepted."),
        "quarantined": (ledger.quarantined, "Readings that can never be delivered."),
        "duplicate": (ledger.duplicates, "Readings that arrived again and were recognised."),
        "lost": (ledger.lost, "Readings that their device no longer holds."),
    }
    for name, (count, words) in counts.items():
        yield _metric(f"tidegate_readings_{name}_total", "counter", words, ({}, count))
    yield _metric(
        "tidegate_messages_undecodable_total", "counter", "Messages put in quarantine.", ({}, ledger.undecodable)
    )
    yield _metric("tidegate_readings_held", "gauge", "Readings that wait for the cloud.", ({}, ledger.held))
    yield _metric(
        "tidegate_ledger_balances",
        "gauge",
        "1 if received = delivered + held + thinned + expired + quarantined + suppressed.",
        ({}, int(ledger.balances)),
    )


def _forward(status: GatewayStatus) -> Iterator[str]:
    forward = status.forward
    oldest_s = None if forward.oldest_unsent_ms is None else forward.oldest_unsent_ms / 1000
    yield _metric(
        "tidegate_oldest_unsent_age_seconds",
        "gauge",
        "Age of the oldest waiting reading; 0: none.",
        ({}, oldest_s or 0),
    )
    yield _metric(
        "tidegate_catch_up_seconds", "gauge", "Until the backlog is gone; absent: never.", ({}, forward.catch_up_s)
    )
    yield _metric(
        "tidegate_forward_paused", "gauge", "1 while the cloud refuses token or bucket.", ({}, int(forward.paused))
    )
    yield _metric(
        "tidegate_forward_consecutive_failures", "gauge", "Failures in a row of sending.", ({}, forward.failures)
    )


def _destinations(status: GatewayStatus) -> Iterator[str]:
    counts = {
        "received": "Readings that were received since the destination was there.",
        "delivered": "Readings that the destination has accepted.",
        "quarantined": "Readings that can never be delivered to it.",
        "thinned": "Readings dropped undelivered, whose rollups are kept.",
        "expired": "Readings dropped undelivered.",
        "suppressed": "Readings that it is not to be sent: a deadband, or no raw readings.",
    }
    every = [({"destination": each.name}, each) for each in status.destinations]
    for name, words in counts.items():
        samples = ((labels, getattr(each, name)) for labels, each in every)
        yield _metric(f"tidegate_destination_readings_{name}_total", "counter", words, *samples)
    requests = {
        "requests": "Requests that were sent to the destination.",
        "requests_failed": "Those that it did not accept.",
    }
    for name, words in requests.items():
        samples = ((labels, getattr(each, name)) for labels, each in every)
        yield _metric(f"tidegate_destination_{name}_total", "counter", words, *samples)
    gauges: dict[str, tuple[str, list[float | int | None]]] = {
        "readings_held": ("Readings that wait for the destination.", [each.held for _, each in every]),
        "catch_up_seconds": ("Until its backlog is gone; absent: never.", [each.catch_up_s for _, each in every]),
        "paused": ("1 while it refuses the credentials.", [int(each.paused) for _, each in every]),
        "configured": ("0: removed, and held until it is forgotten.", [int(each.configured) for _, each in every]),
    }
    for name, (words, values) in gauges.items():
        samples = ((labels, value) for (labels, _), value in zip(every, values, strict=True))
        yield _metric(f"tidegate_destination_{name}", "gauge", words, *samples)
    forecasts = {
        "catch_up_bytes": "Bytes that the backlog takes; absent: not known yet.",
        "month_bytes": "Bytes sent in this month of its link.",
        "month_end_bytes": "Bytes by the month's end, at its mean rate; absent: not known yet.",
        "month_cost": "What this month's bytes cost, in the currency of the configuration; absent: no price.",
        "month_end_cost": "What they will have cost by the month's end.",
        "budget_level": "0: free, 1: backfill waits, 2: raw readings wait, 3: only alerts pass.",
    }
    for name, words in forecasts.items():
        field = name.replace("budget_level", "level")
        told = ((labels, None if each.forecast is None else getattr(each.forecast, field)) for labels, each in every)
        yield _metric(f"tidegate_destination_{name}", "gauge", words, *told)
    ups = ((labels, _up(each.link)) for labels, each in every)
    yield _metric("tidegate_destination_up", "gauge", "1: usable, 0: down; absent: not known yet.", *ups)


def _up(link: LinkStatus | None) -> int | None:
    return None if link is None or link.state == "unknown" else int(link.state == "up")


def _links(status: GatewayStatus) -> Iterator[str]:
    links: dict[str, LinkStatus] = {"devices": status.devices_link, "uplink": status.uplink}
    yield _metric(
        "tidegate_link_up",
        "gauge",
        "1: usable, 0: down; absent: not known yet.",
        *(({"link": name}, _up(link)) for name, link in links.items()),
    )
    yield _metric(
        "tidegate_link_state_since_timestamp_seconds",
        "gauge",
        "When the link's state last changed, since 1970.",
        *(({"link": name}, link.since_ms / 1000) for name, link in links.items()),
    )
    yield _metric(
        "tidegate_mqtt_sessions_lost_total",
        "counter",
        "Connections to a broker that had forgotten the session.",
        ({}, status.sessions_lost),
    )


def _alerts(status: GatewayStatus) -> Iterator[str]:
    alerts = status.alerts
    yield _metric(
        "tidegate_alerts_active",
        "gauge",
        "Active alerts by severity.",
        *(({"severity": severity.value}, getattr(alerts, severity.value)) for severity in Severity),
    )
    yield _metric(
        "tidegate_alerts_unacknowledged", "gauge", "Alerts that nobody has acknowledged.", ({}, alerts.unacknowledged)
    )
    yield _metric("tidegate_alerts_raised_total", "counter", "Alerts that were raised.", ({}, alerts.raised))


def _process(status: GatewayStatus, streams: int) -> Iterator[str]:
    yield _metric("tidegate_devices", "gauge", "Devices ever heard.", ({}, status.devices))
    yield _metric(
        "tidegate_messages_waiting", "gauge", "Messages that wait for their commit.", ({}, status.waiting_messages)
    )
    yield _metric("tidegate_store_bytes", "gauge", "What the store takes on the disk.", ({}, status.store.bytes))
    yield _metric(
        "tidegate_store_full_seconds",
        "gauge",
        "Until the store is full at the rates of now; absent: it does not fill up.",
        ({}, status.store.full_in_s),
    )
    yield _metric(
        "tidegate_store_healthy", "gauge", "0 while the disk refuses; nothing is acknowledged then.",
        ({}, int(status.store.healthy)),
    )  # fmt: skip
    yield _metric(
        "tidegate_certificate_expires_timestamp_seconds",
        "gauge",
        "When a certificate of the gateway ends, since 1970; absent: it cannot be read.",
        *(({"key": one.key}, None if one.expires_ms is None else one.expires_ms / 1000) for one in status.certificates),
    )
    yield _metric("tidegate_live_streams", "gauge", "Open streams of the dashboard.", ({}, streams))
    yield _metric(
        "tidegate_start_time_seconds", "gauge", "When the gateway started, since 1970.", ({}, status.started_ms / 1000)
    )
    yield _metric("tidegate_build_info", "gauge", "Always 1; the version.", ({"version": status.version}, 1))


def _machine(status: GatewayStatus) -> Iterator[str]:
    """`process_*` as every Prometheus client library names them: https://prometheus.io/docs/instrumenting/writing_clientlibs/."""
    machine, store, clock = status.machine, status.store, status.machine.clock
    yield _metric("process_cpu_seconds_total", "counter", "CPU time of the gateway.", ({}, machine.cpu_seconds))
    gauges: dict[str, tuple[float | int | None, str]] = {
        "process_resident_memory_bytes": (machine.resident_bytes, "Memory of the gateway."),
        "process_open_fds": (machine.open_files, "Open file descriptors of the gateway."),
        "process_max_fds": (machine.open_files_max, "As many as there may be."),
        "process_start_time_seconds": (status.started_ms / 1000, "When the gateway started, since 1970."),
        "tidegate_machine_load": (machine.load, "Mean load of the machine over a minute."),
        "tidegate_machine_processors": (machine.processors, "Processors that the gateway may use."),
        "tidegate_machine_memory_bytes": (machine.memory_bytes, "Memory of the machine."),
        "tidegate_machine_memory_available_bytes": (machine.memory_available_bytes, "Memory that could be had."),
        "tidegate_volume_bytes": (machine.disk_bytes, "Size of the volume of the store."),
        "tidegate_volume_free_bytes": (machine.disk_free_bytes, "What it has left."),
        "tidegate_store_used_bytes": (store.used_bytes, "What the store uses of its budget."),
        "tidegate_store_limit_bytes": (store.limit_bytes, "The budget: by its size, or the space of the volume."),
        "tidegate_clock_synchronised": (
            None if clock is None else int(clock.is_synchronised),
            "1 while the kernel knows its clock to be in step; absent: it cannot be asked.",
        ),
        "tidegate_clock_offset_seconds": (
            None if clock is None else clock.offset_us / 1_000_000,
            "What is still to be corrected of the clock.",
        ),
        "tidegate_clock_error_seconds": (
            None if clock is None else clock.error_us / 1_000_000,
            "The most that the clock is off.",
        ),
    }
    for name, (value, words) in gauges.items():
        yield _metric(name, "gauge", words, ({}, value))
