"""How an object name becomes a path below a bucket's `%ob` directory, and back.

Ordinary names are their own path. A file system cannot hold every name, so an entry that begins with `%` is never an
ordinary one (`docs/on_disk_layout.md` has the table):

    component                          on disk
    ""  "."  ".."  "%..."              "%" + component
    longer than 240 bytes of UTF-8     "%+" + first chunk / next chunk / ...; the last chunk like a component
    (an object which is a directory)   "%=" inside that directory

The mapping is total over non-empty names without NUL and lone surrogates, injective, and `from_path` is its inverse.
Components are cut between characters, so that each entry is valid UTF-8 by itself.
"""

from collections.abc import Iterator

COMPONENT_BYTES_MAX = 240
"""File systems take 255 bytes in an entry; the rest is room for the marks."""
SELF = "%="
"""Entry of the object that has the name of the directory it lies in."""
CHUNK_MARK = "%+"
_PLAIN_CHARS_MAX = COMPONENT_BYTES_MAX // 4


def to_path(name: str) -> str:
    """The relative path of an object's file (while the name is not also a directory). No I/O, no failure."""
    if (
        "%" not in name
        and (len(name) <= (most := _chars_max(name)) or max(map(len, name.split("/"))) <= most)
        and "//" not in name
        and "/." not in name
        and name[0] not in "./"
        and name[-1] != "/"
    ):
        return name
    return "/".join(map(encode_component, name.split("/")))


def to_paths(names: list[str]) -> list[str]:
    """The paths of many, which are looked at together: most are their own."""
    text = f"/{'/'.join(names)}/"
    is_plain = "%" not in text and "//" not in text and "/." not in text
    if is_plain and max(map(len, names), default=0) <= _chars_max(text):
        return names
    return [to_path(name) for name in names]


def _chars_max(text: str) -> int:
    """How long a component of it surely fits."""
    return COMPONENT_BYTES_MAX if text.isascii() else _PLAIN_CHARS_MAX


def directory_path(prefix: str) -> str:
    """The relative path of the directory that holds the names which begin with `prefix`, which ends with `/`."""
    return to_path(prefix[:-1]) if len(prefix) > 1 else "%"


def from_path(path: str) -> str:
    """The object name stored at a relative path, with or without the final `%=`. Raise `ValueError` when foreign."""
    parts = path.split("/")
    if parts[-1] == SELF:
        parts.pop()
    components: list[str] = []
    chunks = ""
    for part in parts:
        if part.startswith(CHUNK_MARK):
            chunks += part[2:]
            continue
        component = decode_component(part)
        if component is None:
            raise ValueError(f"not the path of an object: {path}")
        components.append(chunks + component)
        chunks = ""
    return "/".join(components)


def encode_component(component: str) -> str:
    """One component of a name as one directory entry, or as several separated by `/` when it is long."""
    *heads, last = _chunks(component) if len(component) > _chars_max(component) else (component,)
    if last in ("", ".", "..") or last[0] == "%":
        last = "%" + last
    return "".join(f"{CHUNK_MARK}{head}/" for head in heads) + last


def decode_component(entry: str) -> str | None:
    """The component (or last chunk of one) that an entry stands for; None for `%=`, a chunk and foreign entries."""
    if entry[0] != "%":
        return entry
    rest = entry[1:]
    return rest if rest in ("", ".", "..") or rest[0] == "%" else None


def is_foreign(entry: str) -> bool:
    """Whether a directory entry is not valid UTF-8, so that no object can have it."""
    try:
        entry.encode()
    except UnicodeEncodeError:  # what is not UTF-8 came as lone surrogates (PEP 383)
        return True
    return False


def component_of(entry: str) -> str | None:
    """What an entry stands for, or begins to; None for what is no object's."""
    return None if is_foreign(entry) else decode_component(entry)


def _chunks(component: str) -> Iterator[str]:
    encoded = component.encode()
    start = 0
    while len(encoded) - start > COMPONENT_BYTES_MAX:
        end = start + COMPONENT_BYTES_MAX
        while encoded[end] & 0xC0 == 0x80:
            end -= 1
        yield encoded[start:end].decode()
        start = end
    yield encoded[start:].decode()
