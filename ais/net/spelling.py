"""One spelling for each path that the application serves (`ais.net.app`).

The application routes by the decoded path, while its handlers cut the raw one. Where both could disagree, a request
would be checked for one bucket and carried out on another: such a path is refused before it is routed.
"""

from ais.base.errors import BadRequest

_NAMES_FOLLOW = ("/v1/buckets/", "/v1/objects/", "/ais/", "/gs/", "/az/")
"""What comes after these is the client's: names of buckets and objects, which have rules of their own."""
_ODD_ELEMENTS = frozenset(("", ".", ".."))


def check(path: str) -> None:
    """Raise `BadRequest` unless the part of a raw path that decides who serves it is spelled in the one plain way."""
    beginning = next((prefix for prefix in _NAMES_FOLLOW if path.startswith(prefix)), path)
    elements = beginning[1:].removesuffix("/").split("/")
    if "%" in beginning or (len(beginning) > 1 and not _ODD_ELEMENTS.isdisjoint(elements)):
        raise BadRequest(f'path "{path[:200]}" is spelled so that programs read it differently: write it plainly')
