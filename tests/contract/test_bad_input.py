"""Every row of the bad-input table of docs/http_api.md against a live cluster: the answer, and nothing left behind."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.nodes import files_of
from harness.wire import Api, follow, fresh_name, request

DOCUMENT = Path(__file__).parents[2] / "docs" / "http_api.md"
CONTENT = b"0123456789"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    method: str
    target: str
    headers: tuple[str, ...]
    body: str
    status: int
    tcode: str
    message: str


def rows() -> list[Row]:
    """The table under the heading `Bad input`, as written."""
    section = DOCUMENT.read_text().split("## Bad input", 1)[1]
    table = [line for line in section.splitlines() if line.startswith("| `")]
    parsed = []
    for line in table:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        assert len(cells) == 6, line
        method, target = cells[0].strip("`").split(" ", 1)
        parsed.append(
            Row(
                method,
                target,
                tuple(re.findall(r"`([^`]+)`", cells[1])),
                cells[2].strip("`"),
                int(cells[3]),
                "" if cells[4] == "-" else cells[4].strip("`"),
                cells[5].strip("`"),
            )
        )
    assert len(parsed) > 80
    return parsed


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """The bucket, the name that is none, and the target the placeholders stand for."""

    bucket: str
    missing: str
    target: str

    def fill(self, text: str) -> str:
        """Replace the placeholders of the table."""
        for name in ("bucket", "missing", "target"):
            text = text.replace(f"{{{name}}}", getattr(self, name))
        return re.sub(r"\{x:(\d+)\}", lambda match: "x" * int(match[1]), text)


@pytest.fixture(scope="module")
def stage(cluster, api: Api) -> Iterator[Stage]:
    """A bucket with one object `o`."""
    stage = Stage(fresh_name("stage"), fresh_name("missing"), cluster.targets[0].id)
    assert api.create(stage.bucket).status == 200
    assert api.put(stage.bucket, "o", CONTENT, {"Ais-Custom-Md": "k=v"}).status == 200
    yield stage
    assert api.destroy(stage.bucket).status == 200


def state(cluster, api: Api, stage: Stage) -> dict:
    """All that a refused request must leave as it was."""
    head = api.head(stage.bucket, "o", props="version,checksum,custom,location")
    nodes = {
        node.id: (
            api.of_node(node.id, "config").json()["config_version"],
            api.of_node(node.id, "bmd").json(),
            api.of_node(node.id, "smap").json(),
        )
        for node in cluster.nodes
    }
    mountpaths = [path for node in cluster.targets for path in node.mountpaths]
    return {
        "object": api.get(stage.bucket, "o").body,
        "attributes": sorted(pair for pair in head.headers if pair[0] != "Date"),
        "names": api.names(stage.bucket),
        "nodes": nodes,
        "keys": api.call("GET", "/v1/auth/keys").json(),
        "mountpaths": [api.of_node(node.id, "mountpaths").json() for node in cluster.targets],
        "work files": [path for path in files_of(mountpaths, "wk") if stage.bucket in path.parts],
        "files": sorted(path for path in files_of(mountpaths, "ob") if stage.bucket in path.parts),
    }


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.method} {row.target} {row.body}"[:90])
def test_row(cluster, api: Api, stage: Stage, row: Row):
    """The documented status, tcode and message, and the state of the cluster is what it was."""
    before = state(cluster, api, stage)
    headers = dict(stage.fill(header).split(": ", 1) for header in row.headers)
    target, body = stage.fill(row.target), stage.fill(row.body).encode()
    answer = request(cluster.endpoint, row.method, target, body=body, headers=headers)
    answer = follow(answer, row.method, body=body, headers=headers)
    assert answer.status == row.status, answer
    error = json.loads(answer.header("Hdr-Error")) if row.method == "HEAD" else answer.json()
    assert error["status"] == row.status
    assert error.get("tcode", "") == row.tcode, error
    assert stage.fill(row.message) in error["message"]
    assert error["method"] == row.method
    assert state(cluster, api, stage) == before


def test_too_many_parameters(cluster):
    """A hundred parameters are fine, a hundred and one are a 400, on proxy and target."""
    for node in (cluster.proxies[0], cluster.targets[0]):
        for count, status in ((100, 200), (101, 400)):
            query = {"what": "smap", **{f"p{number}": "x" for number in range(count - 1)}}
            assert Api(node.url).call("GET", "/v1/daemon", query).status == status
