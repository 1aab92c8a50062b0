"""Receivers of notifications: what a broker acknowledged it has, in the order of each key; else it is said why."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from harness.brokers import BROKERS
from harness.brokers.kafka import PARTITIONS
from harness.brokers.nats import Nats
from harness.certificates import make

from ais.node.receivers.receiver import Message, NotTaken, Receiver
from ais.node.receivers.receivers import Receivers

PASSWORD = "s3 cret:@/"
Work = Callable[[Receiver], Awaitable[None]]


def use(url: str, work: Work, timeout_s: float = 60.0) -> None:
    """Do something with a receiver."""

    async def run() -> None:
        receivers = Receivers(timeout_s)
        try:
            await work(receivers.of(url))
        finally:
            await receivers.close()

    asyncio.run(run())


def refusal(url: str) -> str:
    """Why a message is not taken."""
    why = ""

    async def send(receiver: Receiver) -> None:
        nonlocal why
        with pytest.raises(NotTaken) as refused:
            await receiver.send([_message("k", 0)])
        why = str(refused.value)

    use(url, send)
    return why


def _message(key: str, number: int) -> Message:
    record = {"eventName": "e", "s3": {"bucket": {"name": "b"}, "object": {"key": key, "sequencer": f"{number:09}"}}}
    return Message(f"b/{key}", json.dumps({"Records": [record]}).encode())


def _numbers(found: list[tuple[str, str, str]], key: str) -> list[str]:
    return [number for _, of, number in found if of == key]


def _add(url: str, *options: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{'&'.join(options)}"


@pytest.mark.parametrize("kind", BROKERS)
def test_what_is_sent_is_there(kind: str) -> None:
    """Each message once, those of a key in their order, by several senders at the same time."""
    with BROKERS[kind]() as broker:

        async def send(receiver: Receiver) -> None:
            assert receiver.records_max == 1
            messages = [_message(f"k{number % 7}", number) for number in range(100)]
            others = [_message(f"o{number % 7}", number) for number in range(100)]
            await asyncio.gather(receiver.send(messages), receiver.send(others))
            assert len(broker.events("b")) == 200  # when it returned, not later
            for key in {message.key.removeprefix("b/") for message in messages + others}:
                numbers = _numbers(broker.events("b"), key)
                assert len(numbers) == len(set(numbers))
                assert numbers == sorted(numbers)
            partitions = getattr(broker, "partitions", {})
            assert all(len(one) == 1 for one in partitions.values())
            assert len(set().union(*partitions.values())) in (0, PARTITIONS)
            assert all(getattr(broker, "durable", []))

        use(broker.url, send)


@pytest.mark.parametrize("kind", BROKERS)
def test_a_broker_that_refuses_loses_and_goes(kind: str) -> None:
    """What was not acknowledged is not taken; the same receiver sends when the broker is back."""
    with BROKERS[kind]() as broker:

        async def send(receiver: Receiver) -> None:
            await receiver.send([_message("k", 1)])
            broker.refuses = True
            with pytest.raises(NotTaken):
                await receiver.send([_message("k", 2), _message("k", 3)])
            assert broker.refused == 1  # what came behind it in the order of its key was not sent
            broker.refuses = False
            await receiver.send([_message("k", 2)])
            broker.stop()
            with pytest.raises(NotTaken):
                await receiver.send([_message("k", 3)])
            broker.start()
            await receiver.send([_message("k", 3)])
            assert _numbers(broker.events("b"), "k") == [f"{number:09}" for number in (1, 2, 3)]

        use(broker.url, send, timeout_s=5.0)


@pytest.mark.parametrize("kind", BROKERS)
def test_nothing_goes_on_behind_one_that_is_taken_away(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops to tell a broker that is away leaves no task that would try for ever."""
    monkeypatch.setattr("ais.node.receivers.broker.CLOSE_S", 0.05)
    with BROKERS[kind]() as broker:

        async def send(receiver: Receiver) -> None:
            await receiver.send([_message("k", 1)])
            broker.stop()
            sending = asyncio.create_task(receiver.send([_message("k", 2)]))
            await asyncio.sleep(0.1)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await receiver.close()
            if others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait_for(asyncio.wait(others), 30)
            broker.start()

        use(broker.url, send, timeout_s=4.0)


@pytest.mark.parametrize("kind", BROKERS)
def test_an_acknowledgement_that_is_lost(kind: str) -> None:
    """The message is sent again, by the client or by whoever sends."""
    with BROKERS[kind]() as broker:

        async def send(receiver: Receiver) -> None:
            broker.loses = 1
            try:
                await receiver.send([_message("k", 1)])
            except NotTaken:
                await receiver.send([_message("k", 1)])
            assert _numbers(broker.events("b"), "k") == ["000000001"] * 2

        use(broker.url, send)


@pytest.mark.parametrize("kind", BROKERS)
def test_users_and_certificates(kind: str, tmp_path: Path) -> None:
    """A user's password and both certificates are what files on this node say, read when a connection is made."""
    files = make(tmp_path)
    secret = tmp_path / "password"
    secret.write_text("old")
    with BROKERS[kind](tls=files, user="ann", password=PASSWORD) as broker:
        scheme, _, rest = broker.url.partition("://")
        plain = _add(f"{scheme}://ann@{rest}", f"password_file={secret}")
        scheme = "amqps" if kind == "amqp" else f"{scheme}+tls"
        url = plain.replace(kind, scheme, 1)
        own = (f"cert_file={files.certificate}", f"key_file={files.key}")
        assert refusal(_add(url, *own))  # whose certificate nobody signed that this machine knows
        assert refusal(_add(url, f"ca_file={files.ca}"))  # who asks for certificates of clients
        whole = _add(url, *own, f"ca_file={files.ca}")
        assert refusal(whole)
        assert "password_file cannot be read" in refusal(whole.replace(str(secret), f"{secret}.none"))
        assert not broker.records
        secret.write_text(f"{PASSWORD}\n")

        async def send(receiver: Receiver) -> None:
            await receiver.send([_message("k", 1)])

        use(whole, send)
        assert len(broker.records) == 1


def test_nothing_is_said_to_a_server_of_nats_without_tls(tmp_path: Path) -> None:
    """Its protocol begins in plain, and anybody on the way could leave out that it goes on with TLS."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    with Nats() as broker:
        for user, option in (("ann@", "password_file"), ("", "token_file")):
            url = broker.url.replace("nats://", f"nats+tls://{user}")
            assert "does not ask for TLS" in refusal(_add(url, f"{option}={secret}"))
        assert not broker.said
        assert "does not ask for TLS" in refusal(broker.url.replace("nats://", "nats+tls://"))
        assert not broker.records


@pytest.mark.parametrize(
    ("kind", "before", "after", "why"),
    [
        ("nats", "s3.events", "s3.other", 'no stream of JetStream takes the subject "s3.other"'),
        ("kafka", "/s3", "/other", "UnknownTopicOrPartition"),
        ("amqp", "routing_key=s3", "routing_key=other", 'no queue takes what comes to exchange "" with routing key'),
        ("amqp", "routing_key=s3", "exchange=none", "no exchange 'none'"),
    ],
)
def test_what_nobody_takes(kind: str, before: str, after: str, why: str) -> None:
    """A subject without a stream, a topic or a queue that is not there: it is not taken, and said why."""
    with BROKERS[kind]() as broker:
        url = broker.url.replace(before, after)

        async def send(receiver: Receiver) -> None:
            with pytest.raises(NotTaken, match=why):
                await receiver.send([_message("k", 0)])

        use(url, send, timeout_s=4.0)
        assert not broker.records


def test_an_exchange_and_another_host() -> None:
    """What its bindings want comes to the queue; a host that is away is passed over."""
    with BROKERS["amqp"]() as broker, BROKERS["nats"]() as other:

        async def send(receiver: Receiver) -> None:
            await receiver.send([_message("k", 1)])

        use(broker.url.replace("127.0.0.1", "127.0.0.1:1;127.0.0.1").replace("?", "?exchange=events&"), send)
        use(other.url.replace("127.0.0.1", "127.0.0.1:1;127.0.0.1"), send)
        assert (len(broker.records), len(other.records)) == (1, 1)


@pytest.mark.parametrize(("kind", "package"), [("nats", "nats-py[nkeys]"), ("kafka", "aiokafka"), ("amqp", "aio-pika")])
def test_a_client_that_is_not_installed(kind: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said which one, and how it is installed."""
    module = package.partition("-py")[0].replace("-", "_")
    for name in [one for one in sys.modules if one == f"ais.node.receivers.{kind}" or one.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    urls: dict[str, Any] = {"nats": "nats://h/s", "kafka": "kafka://h/t", "amqp": "amqp://h/?routing_key=q"}
    assert f"pip install '{package}'" in refusal(urls[kind])
