"""The memory that a target takes for a million objects while it reads them all, gives some away, and codes them.

`MEMORY_OBJECTS` says how many (default 1000000), of the whole cluster: two targets, then three.
"""

import json
import os
import time
from collections.abc import Sequence
from typing import Any

from harness.laying import lay
from harness.nodes import Watch, eventually
from harness.wire import Api, message

from ais.testing import Cluster, Node

OBJECTS = int(os.environ.get("MEMORY_OBJECTS", "1000000"))
MOST_BYTES = 400 << 20
LONG_S = 4 * 3600
SOON_S = 120
NAMES_A_DIRECTORY = 1000
EC = {"enabled": True, "data_slices": 1, "parity_slices": 1}


def names() -> list[str]:
    """Of all objects."""
    return [f"d{number // NAMES_A_DIRECTORY}/o{number}" for number in range(OBJECTS)]


def act(api: Api, action: str, value: Any) -> str:
    """Change the cluster; the ID of the job that was started."""
    answer = api.call("PUT", "/v1/cluster", body=message(action, value=value))
    assert answer.status == 200, answer.error
    return answer.body.decode()


def ended(api: Api, uuid: str) -> dict[str, Any]:
    """The status of a job, when it has ended."""

    def status() -> dict[str, Any] | None:
        answer = api.call("GET", "/v1/cluster", {"what": "status"}, body=json.dumps({"id": uuid}).encode())
        found = answer.json() if answer.status == 200 else {}
        return found if found.get("end_time") else None

    eventually(status, within_s=LONG_S, every_s=1)
    return status() or {}


def is_settled(api: Api) -> bool:
    """Whether no names are on the move."""
    return not api.smap().get("ext")


def files(targets: Sequence[Node], content: str) -> int:
    """How many there are of the bucket on these targets."""
    roots = [path / "@ais" / "b" / content for node in targets for path in node.mountpaths]
    return sum(len(found) for root in roots for _, _, found in os.walk(root))


def test_a_target_stays_below_400_mib() -> None:
    """A scrub of all objects, the rebalance when a third target gets its share, EC of all: the most each target took.

    Everything there was is counted after each."""
    most: dict[str, list[int]] = {}

    def note(phase: str, seen: Watch, began_s: float) -> None:
        most[phase] = [one >> 20 for one in seen.most.values()]
        print(f"\n{phase}: {time.monotonic() - began_s:.0f} s, at most {most[phase]} MiB", end="", flush=True)

    with Cluster(proxies=1, targets=3, mountpaths=2) as cluster:
        api, late = Api(cluster.endpoint), cluster.targets[2]
        assert api.create("b").status == 200
        act(api, "start-maintenance", {"sid": late.id})
        eventually(lambda: is_settled(api), within_s=SOON_S)
        assert api.put("b", "like", b"content of an object").status == 200
        began_s = time.monotonic()
        assert lay(cluster.targets[:2], "b", names(), "like") == OBJECTS
        print(f"\n{OBJECTS} objects after {time.monotonic() - began_s:.0f} s", end="", flush=True)
        assert api.get("b", names()[OBJECTS // 2]).body == b"content of an object"

        with Watch(cluster.targets) as seen:
            began_s = time.monotonic()
            uuid = act(api, "start", {"kind": "scrub", "bck": {"name": "b", "provider": "ais"}})
            assert ended(api, uuid)["err"] == ""
            note("scrub", seen, began_s)
        body = json.dumps({"id": uuid}).encode()
        snaps = api.call("GET", "/v1/cluster", {"what": "qryxstats"}, body=body).json()
        scrubbed = sum(int(snap["stats"]["loc-objs"]) for of_target in snaps.values() for snap in of_target)
        assert scrubbed == OBJECTS + 1, snaps

        with Watch(cluster.targets) as seen:
            began_s = time.monotonic()
            act(api, "stop-maintenance", {"sid": late.id})
            eventually(lambda: files([late], "%ob") and is_settled(api), within_s=LONG_S, every_s=1)
            note("rebalance", seen, began_s)
        assert abs(files([late], "%ob") / OBJECTS - 1 / 3) < 0.02
        assert files(cluster.targets, "%ob") == OBJECTS + 1

        with Watch(cluster.targets) as seen:
            began_s = time.monotonic()
            body = message("set-bprops", value={"ec": EC})
            uuid = api.call("PATCH", "/v1/buckets/b?provider=ais", body=body).body.decode()
            assert ended(api, uuid)["err"] == ""
            note("ec-encode", seen, began_s)
        assert files(cluster.targets, "%ec") == OBJECTS + 1
        print()
        assert max(max(some) for some in most.values()) << 20 < MOST_BYTES
