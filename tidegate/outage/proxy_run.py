"""Runs one fault proxy as a program: until SIGINT or SIGTERM, with a line whenever the link changes.

Promises: both ports are open before the first line is said; the ends of proxy and API are waited for, whatever happens.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from tidegate.outage.address import Address
from tidegate.outage.proxy import FaultProxy

LOOK_S = 0.2
"""How often the link is looked at: a person does not see changes faster than this."""

Say = Callable[[str, dict[str, Any]], None]


async def run_proxy(proxy: FaultProxy, api: Address | None, say: Say) -> None:
    """Serve until a signal. Raises `PortInUseError`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        if api is None:
            await _serve(proxy, stop, say, None)
        else:
            await _serve_with_api(proxy, api, stop, say)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _serve(proxy: FaultProxy, stop: asyncio.Event, say: Say, api: Address | None) -> None:
    async with proxy:
        await _watch(proxy, stop, say, api)
        _say_status(proxy, say, "stopped")


async def _serve_with_api(proxy: FaultProxy, api: Address, stop: asyncio.Event, say: Say) -> None:
    # Here, because the web framework takes longer to load than all the rest and only this path needs it; and before
    # the proxy starts, because from then on the recording runs.
    from tidegate.outage.proxy_api import ApiServer

    server = ApiServer({proxy.name: proxy}, api)
    await server.start()
    try:
        await _serve(proxy, stop, say, server.address)
    finally:
        await server.stop()


async def _watch(proxy: FaultProxy, stop: asyncio.Event, say: Say, api: Address | None) -> None:
    facts = {"event": "listening", "listen": str(proxy.address), "upstream": str(proxy.upstream)}
    line = f"listening on {proxy.address}, forwarding to {proxy.upstream}"
    if api is not None:
        facts["api"] = str(api)
        line += f", control API on {api}"
    say(line, facts)
    before: tuple[object, ...] | None = None
    while not stop.is_set():
        status = proxy.status()
        recorded = status["recording"] or {}
        now = (status["enabled"], status["admission"], status["stalled"], recorded.get("status"), recorded.get("cause"))
        if now != before:
            _say_status(proxy, say, "link")
            before = now
        try:
            async with asyncio.timeout(LOOK_S):
                await stop.wait()
        except TimeoutError:
            continue


def _say_status(proxy: FaultProxy, say: Say, event: str) -> None:
    status = proxy.status()
    recorded = status["recording"]
    words = [event]
    if recorded is not None:
        words.append(f"{recorded['at_us'] / 1_000_000:.1f} s of {recorded['end_us'] / 1_000_000:.1f} s")
        words.append(" ".join(str(word) for word in (recorded["status"] or "unknown", recorded["cause"]) if word))
    words.append(f"new connections: {status['admission']}" + (", bytes stalled" if status["stalled"] else ""))
    words.append(f"{status['connections']} connections, {status['resets']} resets")
    words.append(f"{status['upstream_bytes']} bytes up, {status['downstream_bytes']} down")
    say("; ".join(words), {"event": event, **status})
