"""What nodes of a test cluster sign their requests with, read from where they keep it: for tests that play a node."""

import os
import time
from pathlib import Path

import msgspec

from ais.auth import nodes, pairs
from ais.auth.nodes import Proof
from ais.auth.pairs import PairKeys
from ais.playground.plan import SECRET_FILE
from ais.s3 import via
from ais.s3.via import Via


class NodeKeys:
    """Signs in the name of the nodes of the cluster at `root`; `keys` are their public keys by ID."""

    def __init__(self, root: Path, keys: dict[str, str]) -> None:
        self._secret = nodes.read_secret(str(root / SECRET_FILE))
        self._public = keys
        found = [pairs.load(str(path.parent)) for path in root.glob(f"*/conf/{pairs.FILE}")]
        self._own = {key.public: key for key in found if key is not None}

    @classmethod
    def of(cls, root: Path, smap: dict) -> "NodeKeys":
        """With the public keys of a cluster map."""
        return cls(root, {one: node["pub_keys"][0] for one, node in {**smap["pmap"], **smap["tmap"]}.items()})

    def sign(self, caller: str, receiver: str, method: str, target: str, body: bytes) -> dict[str, str]:
        """The header lines by which `receiver` takes a request for one of `caller`'s."""
        own = self._own[self._public[caller]]
        return _lines(own, self._secret, self._public[receiver], caller, method, target, body)

    def foreign(self, caller: str, receiver: str, method: str, target: str, body: bytes) -> dict[str, str]:
        """The same by a node of another cluster."""
        secret = b"the secret of another cluster, as long"
        return _lines(PairKeys(b"k" * 32), secret, self._public[receiver], caller, method, target, body)

    def by_secret(self, caller: str, method: str, target: str, body: bytes) -> dict[str, str]:
        """What somebody signs who has the join secret and no key of a node."""
        proof = Proof.make(caller, time.time(), body)
        return {nodes.HEADER: str(proof._replace(tag=proof.sign(nodes.join_key(self._secret), method, target)))}

    def note(
        self, by: str, to: str, method: str, target: str, *, is_foreign: bool = False, age_s: int = 0, **said: object
    ) -> dict[str, str]:
        """The line by which `to` takes an S3 request for one that `by` passes on; `said` is more of it."""
        own = PairKeys(b"k" * 32) if is_foreign else self._own[self._public[by]]
        found = Via("127.0.0.1:1", "http", time_s=int(time.time()) - age_s, to=to, by=by, nonce=os.urandom(12))
        found = msgspec.structs.replace(found, **said)
        return {via.HEADER: via.header(found, own.shared(self._public[to]), method, target)}


def _lines(
    own: PairKeys, secret: bytes, public: str, caller: str, method: str, target: str, body: bytes
) -> dict[str, str]:
    proof = Proof.make(caller, time.time(), body)
    lines = {nodes.PAIR_HEADER: proof.sign(own.shared(public), method, target)}
    return lines | {nodes.HEADER: str(proof._replace(tag=proof.sign(nodes.join_key(secret), method, target)))}
