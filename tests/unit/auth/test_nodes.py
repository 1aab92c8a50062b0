"""Signatures between nodes: taken once, from who knows the secret, for exactly the request, within a minute."""

import os
from pathlib import Path

import pytest

from ais.auth import nodes
from ais.auth.nodes import NodeKey
from ais.base.errors import AccessDenied, BadRequest

SECRET = b"a join secret of a cluster"


def test_a_signature_is_for_one_request():
    """What was signed is taken; once, and for nothing else."""
    sender, receiver = NodeKey(SECRET, lambda: 1000.0), NodeKey(SECRET, lambda: 1030.0)
    header = sender.sign("p1", "PUT", "/v1/x?a=b", b"body")
    for method, target in (("POST", "/v1/x?a=b"), ("PUT", "/v1/x?a=c"), ("PUT", "/v1/y")):
        with pytest.raises(AccessDenied, match="not signed"):
            receiver.verify(header, method, target)
    proof = receiver.verify(header, "PUT", "/v1/x?a=b")
    assert (proof.caller, proof.body) == ("p1", nodes.digest_of(b"body"))
    with pytest.raises(AccessDenied, match="received before"):
        receiver.verify(header, "PUT", "/v1/x?a=b")


@pytest.mark.parametrize("field", range(5))
def test_no_part_can_be_changed(field: int):
    """Caller, time, nonce, body and tag are all covered."""
    fields = NodeKey(SECRET, lambda: 1000.0).sign("p1", "PUT", "/", None).split(" ")
    fields[field] = {1: "1001"}.get(field, "0" * 48)
    with pytest.raises(AccessDenied):
        NodeKey(SECRET, lambda: 1000.0).verify(" ".join(fields), "PUT", "/")


@pytest.mark.parametrize("header", ["", "a b c", "p1 x n b t", "p1 1 n b t u", "p1 9999999999999 n b t", "p1 ² n b t"])
def test_what_is_no_signature(header: str):
    """A clear refusal, whatever comes."""
    with pytest.raises(AccessDenied):
        NodeKey(SECRET, lambda: 1.0).verify(header, "GET", "/")


def test_other_secrets_and_other_times():
    """Another cluster's secret, and a clock that is off by more than a minute."""
    header = NodeKey(SECRET, lambda: 1000.0).sign("p1", "GET", "/", b"")
    with pytest.raises(AccessDenied, match="not signed"):
        NodeKey(b"another join secret", lambda: 1000.0).verify(header, "GET", "/")
    for now_s in (1061.0, 939.0):
        with pytest.raises(AccessDenied, match="set the clocks"):
            NodeKey(SECRET, lambda now_s=now_s: now_s).verify(header, "GET", "/")


def test_the_file(tmp_path: Path):
    """Made once, for its owner only; one that others may read, or that is short, is refused."""
    path = str(tmp_path / "secret")
    nodes.new_secret(path)
    first = nodes.read_secret(path)
    nodes.new_secret(path)
    assert nodes.read_secret(path) == first
    os.chmod(path, 0o640)
    with pytest.raises(BadRequest, match="chmod 600"):
        nodes.read_secret(path)
    (tmp_path / "short").touch(0o600)
    with pytest.raises(BadRequest, match="at least"):
        nodes.read_secret(str(tmp_path / "short"))
    with pytest.raises(BadRequest, match="cannot read"):
        nodes.read_secret(str(tmp_path / "none"))
