"""The content of an inventory gives the pages that the bucket itself would give."""

import pytest

from ais.backend import inventory
from ais.backend.interface import RemoteObject
from ais.base.errors import IntegrityError

NAMES = sorted([f"a/{number:02d}" for number in range(30)] + ["a", "b", "ü/", "ü/1", "ü/2", "z"])


def _content(names_per_chunk: int) -> bytes:
    packer = inventory.Packer(names_per_chunk)
    out = b""
    for start in range(0, len(NAMES), 7):
        out += packer.add([RemoteObject(name, len(name), "tag", "v", 1.5) for name in NAMES[start : start + 7]])
    return out + packer.finish()


def _pages(content: bytes, prefix: str, limit: int, delimiter: str) -> list[str]:
    def pread(size: int, offset: int) -> bytes:
        return content[offset : offset + size]

    found: list[str] = []
    after = ""
    while True:
        page = inventory.page(pread, len(content), prefix, after, limit, delimiter)
        names = sorted([one.name for one in page.objects] + page.prefixes)
        assert len(names) <= limit
        found += names
        if not page.has_more:
            return found
        assert len(names) == limit
        after = page.last


@pytest.mark.parametrize("names_per_chunk", [2, 5, 1000])
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_pages(names_per_chunk: int, limit: int) -> None:
    """Whatever the size of chunks and pages: all names, those of a prefix, directories once."""
    content = _content(names_per_chunk)
    assert _pages(content, "", limit, "") == NAMES
    assert _pages(content, "a/1", limit, "") == [name for name in NAMES if name.startswith("a/1")]
    assert _pages(content, "", limit, "/") == ["a", "a/", "b", "z", "ü/"]
    assert _pages(content, "ü/", limit, "/") == ["ü/", "ü/1", "ü/2"]
    assert _pages(content, "none", limit, "") == []


def test_an_empty_one_and_a_damaged_one() -> None:
    """A bucket without objects has an inventory without names; what is none is said to be damaged."""
    content = inventory.Packer(5).finish()
    assert _pages(content, "", 10, "") == []
    for bad in (b"", b"short", content[:-1] + b"2", bytes(len(content))):
        with pytest.raises(IntegrityError):
            _pages(bad, "", 10, "")
