"""A gateway that lost its configuration directory: it founded an empty cluster where its own one expects it.

When a node of another cluster asks the founder of a cluster that holds nothing to let it in, the founder believes it
rather than itself: it takes over that cluster's metadata and starts again, as a node of it. If the map has a gateway at
this very address, it starts again as that one, and so may be primary; votes and terms then decide as after any restart.
"""

from ais.api import codec
from ais.base.errors import AisError, NotReady
from ais.meta.smap import Smap, Snode
from ais.node.core import Core
from ais.node.messages import JoinRequest, Part
from ais.node.reign import fetch
from ais.node.state import SmapRecord


def is_blank(core: Core) -> bool:
    """Whether this node is alone in a cluster that holds nothing."""
    meta = core.meta
    return core.reign is not None and set(meta.smap.nodes) == {core.me.id} and not len(meta.bmd) and not meta.keys.keys


def identity_in(smap: Smap, me: Snode) -> str:
    """The ID this gateway has in another map: that of the gateway at its address, or its own."""
    found = (proxy.id for proxy in smap.pmap.values() if proxy.listens_like(me))
    return next(found, me.id)


async def take_over(core: Core, request: JoinRequest) -> str:
    """Replace this node's metadata, on disk only, by that of the joiner's cluster; return the ID to start again with.

    Raise `NotReady` when the joiner does not give it.
    """
    url = request.node.control.url
    try:
        sealed = [await fetch(core, url, part) for part in Part]
    except AisError as error:
        raise NotReady(f"{request.node.name} does not give the metadata of its cluster: {error}") from None
    smap = next(codec.from_json(one.body, SmapRecord).smap for one in sealed if one.part is Part.SMAP)
    if smap.uuid != request.uuid:
        raise NotReady(f"{request.node.name} is not of cluster {request.uuid}")
    await core.state.replace(sealed)
    return identity_in(smap, core.me)
