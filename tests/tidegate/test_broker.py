"""The demo's broker: who gets in, what it carries, and that it goes away cleanly."""

import asyncio
import contextlib
import socket
from collections.abc import Coroutine
from typing import Any

import aiomqtt
import pytest
from amqtt.broker import Broker
from pydantic import SecretStr, ValidationError

from tidegate.broker import BrokerConfig, running, serve
from tidegate.errors import TakenError

# Made up for these tests; nothing listens with it outside them.
_PASSWORD = "test-only"
_WITH_PASSWORD = BrokerConfig(port=0, username="dev", password=SecretStr(_PASSWORD))


def _client(port: int, username: str | None = "dev", password: str | None = _PASSWORD) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1", port, username=username, password=password, protocol=aiomqtt.ProtocolVersion.V311
    )


def _run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(limited())


def test_a_message_goes_from_one_client_to_another() -> None:
    async def scenario() -> None:
        async with running(_WITH_PASSWORD) as port, _client(port) as receiver, _client(port) as sender:
            await receiver.subscribe("tidegate/v1/#", qos=1)
            await sender.publish("tidegate/v1/s/d/reading", b"\x00\xff", qos=1)
            message = await anext(receiver.messages)
            assert (str(message.topic), message.payload, message.qos) == ("tidegate/v1/s/d/reading", b"\x00\xff", 1)

    _run(scenario())


def test_a_connection_on_which_amqtt_fails_is_closed_and_its_client_can_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """amqtt walks over its subscriptions while a client is being connected, and fails when one is added meanwhile."""

    async def fails(*_: object) -> None:
        raise RuntimeError("dictionary changed size during iteration")

    async def scenario() -> None:
        async with running(_WITH_PASSWORD) as port, _client(port) as other:
            monkeypatch.setattr(Broker, "_publish_retained_messages_for_subscription", fails)
            await other.subscribe("a/#", qos=1)  # amqtt fails here on `other`, whose subscription it has by then
            with pytest.raises(aiomqtt.MqttError):
                await anext(other.messages)
            monkeypatch.undo()
            async with _client(port) as again:
                await again.publish("a/b", b"x", qos=1)

    _run(scenario())


@pytest.mark.parametrize(
    ("username", "password"), [("dev", "wrong"), ("other", _PASSWORD), ("dev", None), (None, None), ("dev", "")]
)
def test_nobody_gets_in_without_the_right_name_and_password(username: str | None, password: str | None) -> None:
    async def scenario() -> None:
        async with running(_WITH_PASSWORD) as port:
            with pytest.raises(aiomqtt.MqttError):
                async with _client(port, username, password):
                    pass

    _run(scenario())


def test_anonymous_clients_get_in_where_the_configuration_says_so() -> None:
    async def scenario() -> None:
        config = BrokerConfig(port=0, allow_anonymous=True)
        async with running(config) as port, _client(port, None, None) as client:
            await client.publish("t", b"x", qos=1)

    _run(scenario())


@pytest.mark.parametrize("arguments", [{}, {"password": ""}, {"password": "x", "allow_anonymous": True}])
def test_there_is_no_default_way_in(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"expected either password .* or allow_anonymous = true"):
        BrokerConfig(**arguments)


def test_a_taken_port_is_a_named_error_that_says_what_to_do() -> None:
    async def scenario(config: BrokerConfig) -> None:
        async with running(config):
            pytest.fail("the port was taken")

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = BrokerConfig(port=port, allow_anonymous=True)
        with pytest.raises(TakenError, match=rf"127\.0\.0\.1:{port}: cannot listen there .* stop the program"):
            _run(scenario(taken))


def test_the_port_is_free_after_a_stop_with_clients_connected() -> None:
    async def scenario() -> int:
        ports: asyncio.Queue[int] = asyncio.Queue()
        task = asyncio.create_task(serve(_WITH_PASSWORD, ports.put_nowait))
        port = await ports.get()
        _, half_open = await asyncio.open_connection("127.0.0.1", port)  # never says CONNECT
        client = _client(port)
        await client.__aenter__()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        half_open.close()
        with pytest.raises(aiomqtt.MqttError):
            await anext(client.messages)
        with contextlib.suppress(aiomqtt.MqttError):
            await client.__aexit__(None, None, None)
        return port

    async def limited() -> int:
        async with asyncio.timeout(20):
            return await scenario()

    port = asyncio.run(limited())
    with socket.create_server(("127.0.0.1", port)):
        pass
