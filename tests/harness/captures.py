"""The recorded exchanges of a live AIStore cluster (`shared/captures`, beside the repository), as values.

Each `.http` file holds one exchange: a title, the request behind `> `, the answer's head behind `< `, and after a lone
`<` the answer's body to the end of the file.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "AIS_CAPTURES"
"""Environment variable that says where the captures are, when they are not in `shared/captures` near the repository."""

_NAME = re.compile(r"(\d+)-(.+?)(?:\.(\d))?\.http")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the answer AIStore gave."""

    area: str
    number: int
    slug: str
    hop: int
    """0 without a redirect, 1 at the proxy, 2 where it pointed."""
    method: str
    target: str
    """Path and query as they were sent."""
    port: int
    request_headers: tuple[tuple[str, str], ...]
    request_body: bytes
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def name(self) -> str:
        """`area/001-slug`, with `.1` or `.2` for a hop."""
        hop = f".{self.hop}" if self.hop else ""
        return f"{self.area}/{self.number:03d}-{self.slug}{hop}"

    def header(self, name: str) -> str | None:
        """The first value of an answer's header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def find() -> Path | None:
    """The captures' directory, or None where there is none."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    repository = Path(__file__).resolve().parents[2]
    candidates = [above / "shared" / "captures" for above in repository.parents]
    return next((path for path in candidates if (path / "index.md").is_file()), None)


def load(root: Path, area: str) -> list[Exchange]:
    """The exchanges of an area in the order they were recorded."""
    found = [read(path) for path in (root / area).glob("*.http")]
    return sorted(found, key=lambda one: (one.number, one.hop))


def read(path: Path) -> Exchange:
    """One file."""
    match = _NAME.fullmatch(path.name)
    assert match, path
    lines = path.read_bytes().split(b"\n")
    index = next(i for i, line in enumerate(lines) if line.startswith(b"> "))
    method, target, _ = lines[index][2:].decode().split(" ", 2)
    end = next(i for i, line in enumerate(lines) if line.startswith(b"< HTTP/"))
    sent = lines[index + 1 : end]
    blank = sent.index(b">") if b">" in sent else len(sent)
    request_headers = tuple(_header(line[2:]) for line in sent[:blank])
    request_body = b"\n".join(line[2:] for line in sent[blank + 1 :])
    start = next(i for i in range(end, len(lines)) if lines[i] == b"<")
    headers = tuple(_header(line[2:]) for line in lines[end + 1 : start])
    host = dict(request_headers).get("Host", ":0")
    return Exchange(
        area=path.parent.name,
        number=int(match[1]),
        slug=match[2],
        hop=int(match[3] or 0),
        method=method,
        target=target,
        port=int(host.rpartition(":")[2]),
        request_headers=tuple(pair for pair in request_headers if pair[0] != "Host"),
        request_body=request_body,
        status=int(lines[end].split(b" ")[2]),
        headers=headers,
        body=_binary(path) or b"\n".join(lines[start + 1 :]),
    )


def _binary(path: Path) -> bytes:
    """A body that is no text has a file of its own."""
    beside = (path.with_suffix(suffix) for suffix in (".msgpack", ".bin"))
    return next((file.read_bytes() for file in beside if file.exists()), b"")


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name, value.strip()
