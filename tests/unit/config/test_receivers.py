"""URLs of receivers: what they say, and what is refused when they are set."""

import pytest

from ais.base.errors import BadRequest
from ais.config import change, receivers, wire
from ais.config.cluster import ClusterConfig
from ais.config.sections import Net


@pytest.mark.parametrize(
    ("url", "kind", "is_tls", "hosts", "path"),
    [
        ("http://h/x?a=b c", "webhook", False, "", ""),
        ("nats://h/s3.events", "nats", False, "h:4222", "s3.events"),
        ("nats+tls://u@h:1/s?password_file=/p", "nats", True, "h:1", "s"),
        ("kafka://a;b:2;[::1]:3;[fe80::1]/t", "kafka", False, "a:9092 b:2 [::1]:3 [fe80::1]:9092", "t"),
        ("kafka+tls://h/t?ca_file=/ca&cert_file=/c&key_file=/k", "kafka", True, "h:9092", "t"),
        ("amqp://h/?routing_key=q", "amqp", False, "h:5672", ""),
        ("amqps://h/a%2Fb?exchange=x", "amqp", True, "h:5671", "a/b"),
    ],
)
def test_urls(url: str, kind: str, is_tls: bool, hosts: str, path: str) -> None:
    """Kind, servers with their ports, and what is behind them."""
    found = receivers.parse(url)
    assert (found.kind, found.is_tls, found.path) == (kind, is_tls, path)
    assert " ".join(f"{host.name}:{host.port}" for host in found.hosts) == hosts
    assert receivers.kind_of(url) == kind


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("ftp://h/x", "write http://host/path, nats://"),
        ("nats://u:secret@h/s", r"write nats://USER@host/...\?password_file="),
        ("nats://u@h/s", "password_file belong together"),
        ("nats://h/s?password_file=/p", "password_file belong together"),
        ("nats://h/a.*", "a subject without wildcards"),
        ("nats://h/", "a subject without wildcards"),
        ("nats://h/s?token_file=/a&creds_file=/b", "is enough"),
        ("nats://h:x/s", "no host:port"),
        ("nats://h/s?ca_file=/x", r"without TLS \(nats\+tls://\)"),
        ("nats+tls://h/s?cert_file=/x", "belong together"),
        ("nats+tls://h/s?ca_file=x", "absolute path"),
        ("kafka://h/t?acks=0", "no option of kafka://: there are password_file, sasl"),
        ("kafka://u@h/t?password_file=/p&sasl=GSSAPI", "sasl is one of PLAIN"),
        ("kafka://h/a b", "write %20"),
        ("amqp://h/", "routing_key=QUEUE"),
        ("amqp://h/?routing_key=q#x", "nothing but options"),
    ],
)
def test_refusals(url: str, advice: str) -> None:
    """Each says what to write; a secret that was written is not said again."""
    with pytest.raises(BadRequest, match=advice) as refused:
        change.set_values(ClusterConfig(), {"net.s3_events": f"x={url}"})
    assert ":secret@" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:hidden@h:1/x?token=hidden", "https://u:**********@h:1/x?**********"),
        ("http://h?hidden", "http://h?**********"),
        ("http://:hidden@h/p@q", "http://:**********@h/p@q"),
        ("http://u@h/x", "http://u@h/x"),
        ("http://h:1/x", "http://h:1/x"),
        ("nats://u@h/s?password_file=/p", "nats://u@h/s?password_file=/p"),
    ],
)
def test_what_is_secret_is_not_shown(url: str, shown: str) -> None:
    """Whoever may look at the cluster sees which receivers there are; what was hidden so is not taken for a URL."""
    config = change.set_values(ClusterConfig(), {"net.s3_events": f"x={url}"})
    assert wire.shown(config)["net"]["s3_events"] == [f"x={shown}"]
    assert config.net.event_receivers == {"x": url}
    if shown != url:
        with pytest.raises(BadRequest, match="write the URL as it was"):
            change.set_values(config, {"net.s3_events": f"x={shown}"})


def test_receivers_by_name() -> None:
    """A list, of different kinds."""
    found = Net(s3_events=("a=http://h/x", "b=nats://h/s")).event_receivers
    assert found == {"a": "http://h/x", "b": "nats://h/s"}
    with pytest.raises(ValueError, match="twice"):
        Net(s3_events=("a=http://h/x", "a=nats://h/s"))
