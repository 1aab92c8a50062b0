"""Identifiers of nodes, clusters and xactions (`wire.md` §3.2), made from an injected randomness."""

import random
import re
import string

_ALPHANUM = string.ascii_letters + string.digits
ID_LEN = 10
_RANDOM_BITS = 96
"""Of which an identifier takes 59: each is as likely as any other, but for one in a hundred thousand million."""
_UUID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{7,30})[A-Za-z0-9]")
_NODE_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{6,30}[A-Za-z0-9]")


def new_id(rng: random.Random) -> str:
    """A fresh identifier: 10 letters and digits, the first a letter. Asks once: randomness may be the kernel's."""
    rest, first = divmod(rng.getrandbits(_RANDOM_BITS), len(string.ascii_letters))
    chars = [string.ascii_letters[first]]
    for _ in range(ID_LEN - 1):
        rest, at = divmod(rest, len(_ALPHANUM))
        chars.append(_ALPHANUM[at])
    return "".join(chars)


def is_valid_uuid(text: str) -> bool:
    """Whether clients accept `text` as an xaction or cluster ID: 9-32 of `[A-Za-z0-9_-]`, ends alphanumeric."""
    return bool(_UUID.fullmatch(text)) or is_rebalance_id(text)


def is_rebalance_id(text: str) -> bool:
    """Whether `text` is `g<RMD version>`."""
    return text[:1] == "g" and text[1:].isdigit()


def is_valid_node_id(text: str) -> bool:
    """Whether `text` may identify a node: 8-32 characters, starts with a letter."""
    return bool(_NODE_ID.fullmatch(text))
