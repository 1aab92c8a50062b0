"""TLS on every network of a real cluster, client certificates included."""

import itertools
import ssl
from collections.abc import Iterator

import pytest
from harness import certificates

from ais.base.errors import Unreachable
from ais.meta.placement import Candidates
from ais.meta.smap import digest
from ais.playground import probe
from ais.testing import TLS, Cluster


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> TLS:
    """A certificate for 127.0.0.1 that is its own CA, and its key."""
    return certificates.make(tmp_path_factory.mktemp("pem"))


@pytest.fixture(scope="module")
def secure(pem: TLS) -> Iterator[Cluster]:
    """A cluster that demands client certificates: the nodes' own calls must show theirs."""
    with Cluster(
        proxies=2, targets=2, mountpaths=1, tls=pem, config_overrides={"net.http.client_auth_tls": "4"}
    ) as cluster:
        yield cluster


def client(pem: TLS, *, with_certificate: bool) -> ssl.SSLContext:
    """A client that trusts the cluster, and shows a certificate or not."""
    context = ssl.create_default_context(cafile=pem.ca)
    if with_certificate:
        context.load_cert_chain(pem.certificate, pem.key)
    return context


def test_objects_over_tls(secure: Cluster, pem: TLS) -> None:
    """Buckets, objects, redirects and listings work; every URL in the map says https."""
    tls = client(pem, with_certificate=True)
    smap = probe.get_json(f"{secure.endpoint}/v1/daemon?what=smap", tls)
    assert smap
    nodes = [*smap["pmap"].values(), *smap["tmap"].values()]
    assert len(nodes) == 4
    nets = ("public_net", "intra_control_net", "intra_data_net")
    assert all(node[net]["direct_url"].startswith("https://") for node in nodes for net in nets)
    assert probe.call("POST", f"{secure.endpoint}/v1/buckets/tls", tls, b'{"action":"create-bck"}')[0] == 200
    content = bytes(range(256)) * 8192
    owners = Candidates([digest(node.id) for node in secure.targets])
    for index, node in enumerate(secure.targets):
        names = (f"from-{node.name}-{number}" for number in itertools.count())
        name = next(one for one in names if owners.best(digest(f"ais/@#/tls/{one}")) == index)
        url = f"{node.url}/v1/objects/tls/{name}?provider=ais&pid=p&utm=1"
        assert probe.call("PUT", url, tls, content)[0] == 200
        assert probe.call("GET", url, tls) == (200, content)
    status, body = probe.call("GET", f"{secure.endpoint}/ais/tls", tls)
    assert status == 200
    assert b"from-t1" in body
    assert b"from-t2" in body


def test_strangers_are_refused(secure: Cluster, pem: TLS) -> None:
    """Without a client certificate, and without TLS, nobody gets an answer."""
    for tls in (client(pem, with_certificate=False), None):
        with pytest.raises(Unreachable):
            probe.call("GET", f"{secure.endpoint.replace('https', 'https' if tls else 'http')}/v1/health", tls)


def test_the_certificate_is_described(secure: Cluster, pem: TLS) -> None:
    """`what=tls_certificate` tells whose certificate it is and until when."""
    facts = probe.get_json(f"{secure.endpoint}/v1/daemon?what=tls_certificate", client(pem, with_certificate=True))
    assert facts
    assert "ais" in " ".join(facts.values())
