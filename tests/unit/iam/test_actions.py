"""The table of actions against Amazon's own models, and what needs no cluster to be shown."""

import gzip
import json
from pathlib import Path
from typing import Any

import botocore
import pytest

from ais.iam import params
from ais.iam.actions import ACTIONS, IAM, STS
from ais.iam.errors import IamError

_DATA = Path(botocore.__file__).parent / "data"


def _model(service: str) -> dict[str, Any]:
    folder = max((_DATA / service).iterdir())
    model: dict[str, Any] = json.loads(gzip.decompress((folder / "service-2.json.gz").read_bytes()))
    return model


def test_no_parameter_is_passed_over() -> None:
    """Each member that Amazon's models document for an action is taken by it, or refused with a reason."""
    count = 0
    for service in (IAM, STS):
        model = _model(service)
        for name, action in ACTIONS.items():
            if action.service != service:
                continue
            shape = model["operations"][name].get("input")
            members = model["shapes"][shape["shape"]]["members"] if shape else {}
            for member in members:
                assert (member in action.parameters) != (member in action.refused), f"{name}: {member}"
                count += 1
            assert action.parameters - members.keys() == {"Action", "Version"}, name
    print(f"\n{len(ACTIONS)} actions, {count} members")


@pytest.mark.parametrize(
    "body",
    [b"A=1&A=2", b"A=%ff", b"\xff", b"&" * 2000],
)
def test_forms(body: bytes) -> None:
    """What is said twice, is not UTF-8 or too much is refused."""
    with pytest.raises(IamError) as caught:
        params.parse(body)
    assert caught.value.code == "ValidationError"


def test_lists() -> None:
    """Members come in the order of their numbers; what is no member is refused."""
    known = frozenset(("TagKeys", "Tags"))
    given = {"TagKeys.member.2": "b", "TagKeys.member.1": "a", "Tags.member.1.Key": "k", "Tags.member.1.Value": "v"}
    found = params.Params(given, known, {})
    assert (found.items("TagKeys"), found.tags()) == (["a", "b"], {"k": "v"})
    for wrong in ({"TagKeys.1": "a"}, {"TagKeys.member.0": "a"}, {"TagKeys.member.1.Key": "a"}):
        with pytest.raises(IamError):
            params.Params(wrong, known, {}).items("TagKeys")
    with pytest.raises(IamError):
        params.Params({"Action": "X", "Moon": "full"}, known | {"Action"}, {})
