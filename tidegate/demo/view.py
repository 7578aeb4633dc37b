"""How a running demo looks in a terminal, and how its result reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge.status import GatewayStatus
from tidegate.demo.outages import OutageSeen
from tidegate.demo.result import Result

BARS = " ▁▂▃▄▅▆▇█"
HISTORY = 56  # columns of the backlog picture: half a minute at two looks a second
HELP = "[b]o[/b] cut the uplink   [b]r[/b] restore it   [b]k[/b] kill -9 the gateway   [b]q[/b] end and prove"


@dataclass(slots=True)
class Scene:
    """One look at everything. `status` is None while the gateway does not answer."""

    elapsed_s: float = 0.0
    left_s: float | None = None
    phase: str = "starting"
    link_up: bool = True
    link_note: str = ""
    measured: int = 0
    status: GatewayStatus | None = None
    cloud_lag_s: float | None = None
    kills: int = 0
    outages: Sequence[OutageSeen] = ()
    now_ms: int = 0
    backlogs: list[int] = field(default_factory=list)


def render(scene: Scene, page: str) -> RenderableType:
    """The whole screen."""
    left = f", {scene.left_s:.0f} s left" if scene.left_s is not None else ""
    title = f"Tidegate demo: {scene.phase} ({scene.elapsed_s:.0f} s{left})"
    parts: list[RenderableType] = [_flow(scene), _numbers(scene), _backlog(scene)]
    if scene.outages:
        parts.append(_outages(scene))
    parts.append(Text.from_markup(f"\n{HELP}\ndashboard: {page}", style="dim"))
    return Panel(Group(*parts), title=title, box=ROUNDED, padding=(1, 2))


def _flow(scene: Scene) -> RenderableType:
    """devices -> gateway -> cloud, and where it is stuck."""
    up = Text("━━━▶", style="green") if scene.link_up else Text("━╳ ━", style="bold red")
    gateway = Text("gateway", style="bold") if scene.status else Text("gateway (away)", style="bold red")
    link = Text("up", style="green") if scene.link_up else Text("DOWN", style="bold red")
    line = Text.assemble(
        ("devices", "bold"),
        " ",
        ("━━━▶", "green" if scene.status else "red"),
        " ",
        gateway,
        " ",
        up,
        " ",
        ("cloud", "bold"),
    )
    note = Text.assemble("   uplink ", link, f"  {scene.link_note}" if scene.link_note else "")
    return Text.assemble(line, note, "\n")


def _numbers(scene: Scene) -> RenderableType:
    table = Table.grid(padding=(0, 3))
    for _ in range(4):
        table.add_column(no_wrap=True)
    status = scene.status
    if status is None:
        table.add_row("measured", _count(scene.measured), "gateway", "no answer: devices keep their readings")
        return table
    forward, ledger = status.forward, status.ledger
    table.add_row("devices", _count(status.devices), "measured", _count(scene.measured))
    table.add_row(
        "readings/s",
        f"{forward.received_per_s:.1f} in, {forward.drained_per_s:.1f} out",
        "stored",
        _count(ledger.received),
    )
    table.add_row("backlog", _count(forward.backlog), "in cloud", _count(ledger.delivered))
    table.add_row(
        "oldest unsent", _age(forward.oldest_unsent_ms), "duplicates", f"{_count(ledger.duplicates)} recognised"
    )
    table.add_row("catch up in", _seconds(forward.catch_up_s), "cloud lag", _seconds(scene.cloud_lag_s))
    balances = Text("balances", style="green") if ledger.balances else Text("DOES NOT BALANCE", style="bold red")
    table.add_row("ledger", balances, "gateway kills", _count(scene.kills))
    return table


def _backlog(scene: Scene) -> RenderableType:
    recent = scene.backlogs[-HISTORY:]
    top = max([*recent, 1])
    bars = "".join(BARS[min(len(BARS) - 1, -(-each * (len(BARS) - 1) // top))] for each in recent)
    return Text.assemble("\nheld at the gateway  ", (bars, "cyan"), f"  peak {_count(max([*recent, 0]))}\n")


def _outages(scene: Scene) -> RenderableType:
    table = Table(box=None, padding=(0, 2), title="outages", title_justify="left", title_style="bold")
    for name in ("cause", "lasted", "held at most", "caught up"):
        table.add_column(name, justify="left" if name == "cause" else "right")
    for each in scene.outages[-4:]:
        done = f"in {each.catch_up_s:.1f} s" if each.catch_up_s is not None else "not yet"
        table.add_row(each.cause, f"{each.lasted_s(scene.now_ms):.1f} s", _count(each.backlog_peak), done)
    return table


def summary(result: Result) -> RenderableType:
    """What is printed at the end."""
    table = Table(box=ROUNDED, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("sent by the devices", result.sent),
        ("acknowledged to the devices", result.acknowledged),
        ("stored by the gateway", result.stored),
        ("in the cloud, value for value", result.in_cloud),
        ("missing", result.missing),
        ("duplicates in the cloud", result.duplicates),
        ("duplicates recognised on the way", result.duplicates_recognised),
        ("gateway kills survived", result.gateway_kills),
    ):
        table.add_row(name, _count(value))
    for at, outage in enumerate(result.outages, start=1):
        caught = f"caught up in {outage.catch_up_s:.1f} s" if outage.catch_up_s is not None else "not caught up"
        table.add_row(
            f"outage {at}: {outage.cause}, {outage.lasted_s:.1f} s", f"held {_count(outage.backlog_peak)}, {caught}"
        )
    verdict = (
        Text("Nothing was lost: every reading is in the cloud, once, with the right values.", style="bold green")
        if result.ok
        else Text("\n".join(["This run proves nothing, or worse:", *result.problems]), style="bold red")
    )
    return Group(table, verdict)


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


def _age(age_ms: int | None) -> str:
    return "nothing waits" if age_ms is None else _seconds(age_ms / 1000)
