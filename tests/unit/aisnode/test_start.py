"""What `aisnode` decides before it serves: arguments, settings, identity, listeners, exit status."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
from ais_node import arguments, identity, listeners, main, process, settings
from harness.http import echo, serving
from harness.loop import run

from ais.base import errors
from ais.base.errors import (
    AisError,
    AlreadyExists,
    BadRequest,
    CorruptMetadata,
    IntegrityError,
    NoContact,
    ObjectNotFound,
)
from ais.base.ids import is_valid_node_id
from ais.config import change
from ais.config.cluster import ClusterConfig
from ais.config.local import LocalConfig
from ais.config.node import NodeConfig
from ais.net.app import error_reply
from ais.net.http import Network, Reply, Request

RNG = random.Random(1)


def files(directory: Path, local: dict[str, object]) -> arguments.Arguments:
    """Configuration files in a directory, and the arguments that name them."""
    (directory / "c.json").write_text("{}")
    (directory / "l.json").write_text(json.dumps(local))
    return arguments.Arguments("proxy", str(directory / "c.json"), str(directory / "l.json"), False)


def host_net(**values: str) -> NodeConfig:
    """A configuration with these addresses."""
    return NodeConfig(ClusterConfig(), change.apply_patch(LocalConfig(), {"host_net": values}))


@pytest.mark.parametrize(
    "dashes",
    [
        "--role proxy --config c --local-config l --daemon-id a1bcdefg",
        "-role=proxy -config=c -local_config=l -daemon_id=a1bcdefg",
    ],
)
def test_both_spellings_of_the_arguments(dashes: str) -> None:
    """GNU style and AIStore's spelling mean the same."""
    assert arguments.parse(dashes.split()) == arguments.Arguments("proxy", "c", "l", daemon_id="a1bcdefg")


@pytest.mark.parametrize("line", ["", "--role king --config c --local-config l", "--role proxy --config c"])
def test_wrong_arguments_exit_with_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The usage goes to standard error."""
    with pytest.raises(SystemExit) as caught:
        arguments.parse(line.split())
    assert caught.value.code == main.BAD_CONFIGURATION
    assert "usage: aisnode" in capsys.readouterr().err


def test_a_missing_file_is_one_sentence_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person reads what is wrong, not a traceback."""
    given = ["--role", "proxy", "--config", str(tmp_path / "none"), "--local-config", "none"]
    assert main.main(given) == main.BAD_CONFIGURATION
    message = capsys.readouterr().err
    assert message.startswith("aisnode: cannot read configuration file")
    assert message.count("\n") == 1


def test_the_environment_is_laid_over_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local and cluster settings of the environment both win."""
    monkeypatch.setenv("AIS_PORT", "1234")
    monkeypatch.setenv("AIS_CONFIG__LOG__LEVEL", "4")
    config = settings.read(files(tmp_path, {"confdir": str(tmp_path), "host_net": {"port": "9"}})).config
    assert (config.local.ports[0], config.cluster.log.level) == (1234, "4")


def test_a_bad_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting from the environment that does not exist stops the node and says where it came from."""
    monkeypatch.setenv("AIS_CONFIG__LOGG__LEVEL", "4")
    with pytest.raises(
        BadRequest, match=r'unknown setting "logg\.level": did you mean "log"\? \(the environment sets logg'
    ):
        settings.read(files(tmp_path, {"confdir": str(tmp_path)}))


def test_an_id_comes_by_argument_or_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are the same; two that differ, and what is no ID, stop the node."""

    def read(daemon_id: str) -> str:
        given = files(tmp_path, {"confdir": str(tmp_path)})
        return settings.read(dataclasses.replace(given, daemon_id=daemon_id)).environment.daemon_id

    assert read("a1bcdefg") == "a1bcdefg"
    monkeypatch.setenv("AIS_DAEMON_ID", "b1bcdefg")
    assert (read(""), read("b1bcdefg")) == ("b1bcdefg", "b1bcdefg")
    with pytest.raises(BadRequest, match="but AIS_DAEMON_ID=b1bcdefg: give one of them"):
        read("a1bcdefg")
    with pytest.raises(BadRequest, match='-daemon_id="1" is no node ID'):
        read("1")


def test_confdir_is_needed(tmp_path: Path) -> None:
    """A node without a place for its identity does not start."""
    with pytest.raises(BadRequest, match="confdir is missing"):
        settings.read(files(tmp_path, {}))


def test_a_proxy_keeps_its_id(tmp_path: Path) -> None:
    """The ID is made once, or taken from the environment once, and stays."""
    first = identity.proxy_id(str(tmp_path / "conf"), "", RNG)
    assert is_valid_node_id(first)
    assert identity.proxy_id(str(tmp_path / "conf"), "", RNG) == first
    assert identity.proxy_id(str(tmp_path / "other"), "chosen-one", RNG) == "chosen-one"
    assert identity.proxy_id(str(tmp_path / "other"), "", RNG) == "chosen-one"


def test_a_contradicting_or_damaged_id_is_refused(tmp_path: Path) -> None:
    """Nobody becomes another node by accident."""
    identity.proxy_id(str(tmp_path), "chosen-one", RNG)
    with pytest.raises(IntegrityError, match="other-one"):
        identity.proxy_id(str(tmp_path), "other-one", RNG)
    (tmp_path / identity.PROXY_ID_FILE).write_text("?")
    with pytest.raises(CorruptMetadata, match="holds no node ID"):
        identity.proxy_id(str(tmp_path), "", RNG)


def test_confdir_is_made_or_named(tmp_path: Path) -> None:
    """It is made when it is missing, with its parents; when that fails the message names the setting."""
    identity.make_confdir(str(tmp_path / "new" / "conf"))
    assert (tmp_path / "new" / "conf").is_dir()
    (tmp_path / "file").write_text("")
    for use in (identity.make_confdir, lambda path: identity.proxy_id(path, "", RNG)):
        with pytest.raises(BadRequest, match="confdir="):
            use(str(tmp_path / "file"))


def test_one_port_carries_all_networks() -> None:
    """Without ports of their own the intra-cluster networks share the public listener."""
    layout = listeners.lay_out(host_net(hostname="127.0.0.1", port="8080"), str)
    everything = Network.PUBLIC | Network.CONTROL | Network.DATA
    assert layout.listeners == (listeners.Listener("127.0.0.1", 8080, everything),)
    assert layout.public.url == layout.control.url == layout.data.url == "http://127.0.0.1:8080"


def test_three_ports_are_three_listeners() -> None:
    """Each network has its own address and port when the configuration says so."""
    config = host_net(
        hostname="127.0.0.1",
        hostname_intra_control="10.0.0.1",
        port="1",
        port_intra_control="2",
        port_intra_data="3",
    )
    layout = listeners.lay_out(config, str)
    assert [(one.bind_host, one.port, one.networks) for one in layout.listeners] == [
        ("127.0.0.1", 1, Network.PUBLIC),
        ("0.0.0.0", 2, Network.CONTROL),
        ("0.0.0.0", 3, Network.DATA),
    ]
    assert (layout.control.url, layout.data.url) == ("http://10.0.0.1:2", "http://10.0.0.1:3")


def test_a_named_address_of_this_machine_is_listened_on_alone() -> None:
    """A control network of its own is not served on the others."""
    here = identity.own_host("")
    layout = listeners.lay_out(host_net(hostname="h.example", hostname_intra_control=here, port="1"), str)
    assert [(one.bind_host, one.networks & Network.CONTROL) for one in layout.listeners] == [
        ("0.0.0.0", Network.CONTROL)  # one port for all is open where its widest network is
    ]
    config = host_net(hostname="h.example", hostname_intra_control=here, port="1", port_intra_control="2")
    layout = listeners.lay_out(config, str)
    assert {one.bind_host for one in layout.listeners if Network.CONTROL in one.networks} == {here}
    assert layout.listeners[0].bind_host == "0.0.0.0"


def test_a_host_is_found_when_none_is_configured() -> None:
    """The address towards the cluster stands in for a missing host name, on all networks."""
    layout = listeners.lay_out(host_net(port="8080"), lambda: "192.168.0.7")
    assert layout.public.url == layout.data.url == "http://192.168.0.7:8080"
    assert layout.listeners[0].bind_host == "0.0.0.0"
    assert identity.own_host("http://127.0.0.1:8080") == "127.0.0.1"


def test_port_0_is_a_free_port_shared_by_all() -> None:
    """Port 0 everywhere is one free port, announced with its number."""
    layout = listeners.lay_out(host_net(hostname="127.0.0.1", port="0"), str)
    assert len(layout.listeners) == 1
    assert layout.listeners[0].port > 0
    assert layout.public.port == str(layout.listeners[0].port)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadRequest("x"), main.BAD_CONFIGURATION),
        (errors.InvalidName("x"), main.BAD_CONFIGURATION),
        (errors.Busy("x"), main.BUSY_PORT),
        (errors.MountpathNotFound("x"), main.BAD_VOLUME),
        (errors.IntegrityError("x"), main.FOREIGN),
        (errors.NotReady("x"), main.NOT_JOINED),
        (errors.TooSlow("x"), main.UNEXPECTED),
    ],
)
def test_exit_statuses(error: AisError, status: int) -> None:
    """Each kind of failure has its own exit status."""
    assert main.exit_status(error) == status


def test_a_confdir_is_one_proxys_alone(tmp_path: Path) -> None:
    """A second proxy with the same confdir is refused with what to do; after the first has ended it may run."""
    with identity.claimed(str(tmp_path)):
        with pytest.raises(AlreadyExists, match="a directory of its own") as caught, identity.claimed(str(tmp_path)):
            pass
        assert main.exit_status(caught.value) == main.FOREIGN
    with identity.claimed(str(tmp_path)):
        pass


@pytest.mark.parametrize("sharers", [1, 2, 7])
def test_processes_share_what_an_address_may(sharers: int, tmp_path: Path) -> None:
    """Connections and handshakes that all processes of a node take are what the node may take, but for rounding."""
    found = settings.read(files(tmp_path, {"confdir": str(tmp_path)}))
    whole = found.config.cluster.limits
    one = process.limits(found, found.config, sharers)
    for part, all_of_them in (
        (one.connections_max, whole.connections),
        (one.connections_per_address_max, whole.connections_per_address),
        (one.handshakes.per_address_max, whole.handshakes_per_address),
        (one.handshakes.waiting_per_address_max, whole.handshakes_waiting),
    ):
        assert all_of_them <= part * sharers < all_of_them + sharers


@pytest.mark.parametrize("is_in_time", [True, False])
def test_an_object_that_cannot_be_told_of_is_asked_for_again(is_in_time: bool) -> None:
    """At once or later, GET of what is not there as far as a node knows that has lost contact waits for it, and then
    says what there is; without contact it is refused, once, as a deletion is at once. Each time it is asked as it came,
    with the mark that was taken off it."""
    asked: list[str] = []

    def route(one: Request) -> Any:
        asked.append(one.method)
        assert one.path in ("/now", "/late")
        if is_in_time and asked[-2:] == ["wait", "GET"]:
            return echo(one)

        async def late() -> Reply:
            raise ObjectNotFound("o")

        is_late = one.path == "/late"
        one.requery(one.path)
        if is_late:
            return late()
        raise ObjectNotFound("o")

    async def regain() -> None:
        asked.append("wait")

    def honest(error: BaseException) -> BaseException:
        return NoContact("nothing heard") if isinstance(error, ObjectNotFound) else error

    def answer(one: Request, error: BaseException) -> Reply:
        return error_reply(one, honest(error), "t[test]")

    async def scenario() -> None:
        retry = listeners.ask_again(route, honest, regain, answer)
        async with serving(route, retry=retry) as served:
            client = await served.connect()
            for path in ("/now", "/late"):
                asked.clear()
                assert (await client.ask(f"GET {path}")).status == (200 if is_in_time else 503)
                assert asked == ["GET", "wait", "GET"]
            asked.clear()
            await client.ask("DELETE /now")
            assert asked == ["DELETE"]

    run(scenario())
