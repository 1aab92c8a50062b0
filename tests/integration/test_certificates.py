"""Certificates that are replaced while a cluster works, end soon, are broken, or of somebody else."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from harness import certificates
from harness.certificates import Authority
from harness.nodes import eventually

from ais.base.errors import Unreachable
from ais.node.certificate import EXPIRED, INVALID, WILL_SOON_EXPIRE
from ais.playground import probe
from ais.testing import TLS, Cluster, Node

HEALTHY = 6


class Case(NamedTuple):
    cluster: Cluster
    authority: Authority
    files: TLS


@pytest.fixture(scope="module", params=["1", "2"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Nodes of so many workers that share certificate files, and demand a certificate of their CA from everybody."""
    folder = tmp_path_factory.mktemp("pem")
    files = TLS(str(folder / "node.pem"), str(folder / "node.key"), str(folder / "ca.pem"))
    authority = Authority("the cluster's")
    authority.issue(files)
    with Cluster(
        proxies=2,
        targets=2,
        mountpaths=1,
        tls=files,
        config_overrides={"net.http.client_auth_tls": "4"},
        workers=request.param,
    ) as cluster:
        yield Case(cluster, authority, files)


def client(files: TLS) -> ssl.SSLContext:
    """Trusts the CA of these files, and shows their certificate."""
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    return context


def serial_at(node: Node, files: TLS) -> int:
    """Of the certificate that a new connection is shown."""
    host, _, port = node.url.rpartition("//")[2].partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as raw,
        client(files).wrap_socket(raw, server_hostname=host) as connection,
    ):
        return int(connection.getpeercert()["serialNumber"], 16)


def nodes_of(case: Case) -> list[Node]:
    return [*case.cluster.proxies, *case.cluster.targets]


def load(case: Case) -> tuple[int, bytes]:
    return probe.call("PUT", f"{case.cluster.endpoint}/v1/cluster/load-x509", client(case.files))


def flags_of(case: Case, node: Node) -> int:
    found = probe.get_json(f"{node.url}/v1/health?cii=true", client(case.files))
    return int(found["flags"])


def test_certificates_are_replaced_under_load(case: Case) -> None:
    """Three new certificates while clients write and read: new connections are shown the new one, no request fails."""
    cluster, files = case.cluster, case.files
    tls = client(files)
    assert probe.call("POST", f"{cluster.endpoint}/v1/buckets/b", tls, b'{"action":"create-bck"}')[0] == 200
    failures, ended, done = [], threading.Event(), []

    def work() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            url = f"{cluster.proxies[number % 2].url}/s3/b/o{number % 9}"
            for method, body in (("PUT", b"x" * 100), ("GET", b"")):
                try:
                    status, got = probe.call(method, url, tls, body)
                except Unreachable as error:
                    status, got = 0, str(error).encode()
                if status != 200:
                    failures.append((method, url, status, got[:300]))
                done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(3):
            serial = case.authority.issue(files)
            assert load(case)[0] == 200
            assert {serial_at(node, files) for node in nodes_of(case)} == {serial}
            at_least = len(done) + 10
            eventually(lambda least=at_least: len(done) > least, within_s=60)
    finally:
        ended.set()
        thread.join()
    assert not failures, failures[:5]


def test_a_changed_file_is_noticed(case: Case) -> None:
    """Without being told, nodes use a new certificate; a broken one is told about, and the one before goes on."""
    files, node = case.files, case.cluster.targets[0]
    tls = client(files)
    serial = case.authority.issue(files)
    for one in nodes_of(case):
        eventually(lambda one=one: serial_at(one, files) == serial, within_s=60)
    key, good = Path(files.key), Path(files.key).read_bytes()
    key.write_bytes(b"broken")
    try:
        status, body = probe.call("PUT", f"{case.cluster.endpoint}/v1/cluster/load-x509", tls)
        assert (status, b"cannot use" in body) == (400, True), body
        url = f"{node.url}/v1/health?cii=true"
        eventually(lambda: int(probe.get_json(url, tls)["flags"]) & INVALID, within_s=60)
        facts = probe.get_json(f"{case.cluster.endpoint}/v1/daemon?what=tls_certificate", tls)
        assert facts["error"].startswith("tls-cert-invalid")
    finally:
        key.write_bytes(good)
    assert load(case)[0] == 200
    assert flags_of(case, node) == HEALTHY
    assert serial_at(node, files) == serial


def test_the_end_is_announced(case: Case) -> None:
    """Within 30 days of its end a certificate raises the flag, the warning and the metric; a longer one ends that."""
    node, gateway = case.cluster.targets[0], case.cluster.endpoint
    case.authority.issue(case.files, days=29)
    assert load(case)[0] == 200
    assert flags_of(case, node) == HEALTHY | WILL_SOON_EXPIRE
    tls = client(case.files)
    facts = probe.get_json(f"{gateway}/v1/daemon?what=tls_certificate", tls)
    assert (facts["warning"], facts["issued-by (CN)"]) == ("tls-cert-will-soon-expire", "the cluster's")
    metrics = probe.call("GET", f"{node.url}/metrics", tls)[1].decode()
    (line,) = [one for one in metrics.splitlines() if one.startswith("ais_target_certificate_end_seconds")]
    ends = json.loads(line.rpartition(" ")[2])
    case.authority.issue(case.files, days=31)
    assert load(case)[0] == 200
    assert flags_of(case, node) == HEALTHY
    metrics = probe.call("GET", f"{node.url}/metrics", tls)[1].decode()
    (line,) = [one for one in metrics.splitlines() if one.startswith("ais_target_certificate_end_seconds")]
    assert json.loads(line.rpartition(" ")[2]) - ends > 24 * 3600
    assert not flags_of(case, node) & EXPIRED


def test_who_is_of_another_authority_is_nobody(case: Case, tmp_path: Path) -> None:
    """A client of another CA, or of the system's, is refused; so is a cluster of another CA by the client."""
    other = certificates.make(tmp_path)
    foreign = ssl.create_default_context(cafile=case.files.ca)
    foreign.load_cert_chain(other.certificate, other.key)
    strange = ssl.create_default_context()
    strange.load_cert_chain(case.files.certificate, case.files.key)
    for context in (foreign, strange):
        for node in nodes_of(case):
            with pytest.raises(Unreachable):
                probe.call("GET", f"{node.url}/v1/health", context)
