"""The lists that tests/test_tidy.py goes by. A new entry in one of the lists of exceptions needs a reason beside it."""

from typing import Final

# The one module that asks the machine what time it is; everybody else is handed a Clock or `now_ms`.
CLOCK_MODULE: Final = "sensors/clock.py"

# Broad excepts, by file: how many, each at the top of a process or of a thread, where an error must be said once.
PROCESS_TOPS: Final = {
    "tidegate/cli.py": 1,
}

# Sleeps in tests, by file: how many, each in a loop with a deadline that waits for another process.
POLLS: Final = {
    "tests/live/mosquitto.py": 1,  # until Mosquitto's port answers
    "tests/live/test_fleet.py": 1,  # until a fleet behind a real broker got there
}

# What a core module may not import: time, chance from outside, waiting, talking, and logging are a shell's business.
BANNED_IMPORTS: Final = (
    "aiomqtt",
    "amqtt",
    "asyncio",
    "concurrent",
    "fastapi",
    "http.client",
    "http.server",
    "influxdb_client",
    "logging",
    "multiprocessing",
    "paho",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "socketserver",
    "starlette",
    "structlog",
    "subprocess",
    "threading",
    "time",
    "urllib.request",
    "urllib3",
    "uvicorn",
)

# What a core module may not call, by the last two names. Functions of the module `random` are banned by name.
BANNED_CALLS: Final = (
    "date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "os.getrandom",
    "os.urandom",
    "uuid.uuid1",
    "uuid.uuid4",
)

# The shells: thin modules that wait, talk and log. An entry that ends in a slash is a whole folder.
SHELL_MODULES: Final = (
    CLOCK_MODULE,
    "cloud/api.py",
    "cloud/bodies.py",
    "cloud/errors.py",
    "cloud/server.py",
    "cloud/service.py",
    "edge/access/gate.py",
    "edge/access/requires.py",
    "edge/access/service.py",
    "edge/alerts/api.py",
    "edge/api.py",
    "edge/api_access.py",
    "edge/api_commands.py",
    "edge/api_data.py",
    "edge/api_description.py",
    "edge/api_drill.py",
    "edge/api_outages.py",
    "edge/api_settings.py",
    "edge/problems.py",
    "edge/bounded_http.py",
    "edge/bridge.py",
    "edge/cancellation.py",
    "edge/causes.py",
    "edge/certificate_watch.py",
    "edge/dashboard/assets.py",
    "edge/dashboard/chart_routes.py",
    "edge/dashboard/charts.py",
    "edge/dashboard/routes.py",
    "edge/drilled.py",
    "edge/field_selection.py",
    "edge/front/",
    "edge/dashboard/service.py",
    "edge/dashboard/web.py",
    "edge/gateway.py",
    "edge/http_server.py",
    "edge/http_surroundings.py",
    "edge/inbox.py",
    "edge/influx.py",
    "edge/link_recorder.py",
    "edge/home_assistant/publisher.py",
    "edge/side_client.py",
    "edge/topics/api.py",
    "edge/topics/watch.py",
    "edge/mqtt/connection.py",
    "edge/senders.py",
    "edge/tcp_info.py",
    "edge/uplink.py",
    "firmware_sim/fleet.py",
    "firmware_sim/links.py",
    "firmware_sim/mqtt.py",
    "tidegate/bench/",
    "tidegate/broker.py",
    "tidegate/cli.py",
    "tidegate/cloud_seqs.py",
    "tidegate/demo/",
    "tidegate/edge_access.py",
    "tidegate/edge_accounts.py",
    "tidegate/firmware_cli.py",
    "tidegate/listen.py",
    "tidegate/logs.py",
    "tidegate/outage/",
    "tidegate/parts.py",
    "tidegate/process.py",
    "tidegate/replay_processes/engine.py",
    "tidegate/sensors_cli.py",
)

# Never in a committed file. Written in two halves, so that this file does not have them either.
UNWANTED_TEXTS: Final = tuple(
    first + second
    for first, second in (
        ("/wor", "k/"),
        ("/ro", "ot/"),
        ("/Use", "rs/"),
        ("py", "pi.org"),
        ("python", "hosted.org"),
        ("npm", "js.org"),
        ("npm", "js.com"),
        ("deb", "ian.org"),
        ("crates", ".io"),
        ("proxy.gol", "ang.org"),
        ("maven", ".org"),
        ("docker", ".io"),
    )
)
