"""What records are sorted by."""

import hashlib
from collections.abc import Callable

from ais.api.dsort import Algorithm, Key
from ais.base.errors import BadRequest
from ais.shard.match import wds_key

KEY_BYTES_MAX = 1 << 20
"""Of a file whose content is a key."""


def split(member: str) -> tuple[str, str]:
    """The name of the record that a file belongs to, and its extension: all from the first dot on."""
    name = wds_key(member)
    return name, member[len(name) :]


def by_name(algorithm: Algorithm) -> Callable[[str, str], Key]:
    """A function of a shard's and a record's name that gives its key."""
    match algorithm.kind:
        case "md5":
            return lambda shard, name: hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        case "shuffle":
            seed = algorithm.seed.encode()
            return lambda shard, name: hashlib.blake2b(f"{shard}/{name}".encode(), key=seed, digest_size=9).hexdigest()
        case "none":
            return lambda shard, name: ""
        case _:
            return lambda shard, name: name


def of_content(content: bytes, kind: str, where: str) -> Key:
    """The key that a file holds. Raise `BadRequest` naming the file."""
    try:
        text = content.decode()
        if kind == "int":
            whole = int(text)
            if not -(1 << 63) <= whole < 1 << 63:
                raise ValueError("more than 64 bits")
            return whole
        if kind == "float":
            number = float(text)
            if number != number:
                raise ValueError("not a number")
            return number
        return text
    except ValueError as error:
        raise BadRequest(f"{where} does not hold a sorting key of type {kind}: {str(error)[:100]}") from None
