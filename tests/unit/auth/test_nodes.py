"""Signatures between nodes: taken once, from who knows the secret, for exactly the request, within a minute."""

import os
from pathlib import Path

import pytest

from ais.auth import nodes
from ais.auth.nodes import Nonces, Proof
from ais.base.errors import AccessDenied, BadRequest

KEY = nodes.join_key(b"a join secret of a cluster")
WANTED = ("PUT", "/v1/x?a=b")


def test_a_tag_is_for_one_request() -> None:
    """What was signed is taken, and nothing else: another method, path, query, or key."""
    proof = Proof.make("p1", 1000.9, b"body")
    tag = proof.sign(KEY, *WANTED)
    assert proof.is_signed(tag, KEY, *WANTED)
    for method, target in (("POST", "/v1/x?a=b"), ("PUT", "/v1/x?a=c"), ("PUT", "/v1/y")):
        assert not proof.is_signed(tag, KEY, method, target)
    assert not proof.is_signed(tag, nodes.join_key(b"another join secret"), *WANTED)
    assert not proof.is_signed("²" + tag, KEY, *WANTED)


@pytest.mark.parametrize("field", ["caller", "time_s", "nonce", "body"])
def test_no_part_can_be_changed(field: str) -> None:
    """Caller, time, nonce and body are all covered, and survive the header."""
    proof = Proof.make("p1", 1000.9, None)
    tag = proof.sign(KEY, *WANTED)
    assert Proof.parse(str(proof)) == proof
    assert not proof._replace(**{field: 1001 if field == "time_s" else "0" * 20}).is_signed(tag, KEY, *WANTED)


@pytest.mark.parametrize("header", ["", "a b c", "p1 x n b t", "p1 1 n b t u", "p1 9999999999999 n b t", "p1 ² n b t"])
def test_what_is_no_signature(header: str) -> None:
    """A clear refusal, whatever comes."""
    with pytest.raises(AccessDenied, match="malformed"):
        Proof.parse(header)


def test_once_within_a_minute() -> None:
    """A nonce is taken once; what is of another time is refused, with the difference."""
    lately = Nonces(lambda: 1000.0)
    lately.take("n", 1030)
    with pytest.raises(AccessDenied, match="received before"):
        lately.take("n", 1030)
    for time_s in (1061, 939):
        with pytest.raises(AccessDenied, match="set the clocks"):
            lately.take("m", time_s)


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
