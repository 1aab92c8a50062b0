"""Which objects a command is about, when it is about many: a prefix, a range template or a list."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import click

from ais.api.bucket import Bck
from ais.base import templates
from ais_cli.params import Ref

if TYPE_CHECKING:
    from ais.client.client import Client


class Selected(NamedTuple):
    """An object and, when a listing told it, its size."""

    name: str
    size: int = 0


@dataclass(frozen=True)
class Selection:
    """Objects of one bucket. Exactly one of prefix, template and names is meant."""

    bck: Bck
    prefix: str = ""
    template: templates.Template | None = None
    names: tuple[str, ...] | None = None
    limit: int = 0
    is_flat: bool = False
    """Of a prefix: nothing in virtual directories further below."""

    @classmethod
    def of(
        cls,
        ref: Ref,
        prefix: str | None,
        template: str | None,
        names: str | None,
        limit: int = 0,
        *,
        is_flat: bool = False,
    ) -> "Selection | None":
        """From a command's options; None when none was given. Raise `UsageError` or `BadRequest`."""
        given = [option for option in (prefix, template, names) if option is not None]
        if not given:
            return None
        if is_flat and prefix is None:
            raise click.UsageError("--nr goes with a prefix")
        if len(given) > 1:
            raise click.UsageError("--prefix, --template and --list exclude each other")
        if ref.name and prefix is None:
            raise click.UsageError(f"name the bucket only ({ref.bck.cname()}) with --template or --list")
        if prefix is not None:
            return cls(ref.bck, prefix=ref.name + prefix, limit=limit, is_flat=is_flat)
        if template is not None:
            parsed = templates.parse(template)
            return cls(ref.bck, prefix=parsed.prefix, template=None if parsed.is_prefix else parsed, limit=limit)
        parts = tuple(one.strip() for one in (names or "").split(",") if one.strip())
        if not parts:
            raise click.UsageError("--list is empty")
        return cls(ref.bck, names=parts, limit=limit)

    @property
    def is_everything(self) -> bool:
        """Whether all objects of the bucket are meant."""
        return self.names is None and self.template is None and not self.prefix

    @property
    def strip(self) -> int:
        """How many characters of each name are the prefix's directories."""
        return self.prefix.rfind("/") + 1 if self.names is None else 0

    def __str__(self) -> str:
        if self.names is not None:
            return f"{len(self.names)} listed objects of {self.bck.cname()}"
        if self.template is not None:
            return f"{len(self.template):,} templated objects of {self.bck.cname()}"
        if self.prefix:
            return f'all objects of {self.bck.cname()} whose names begin with "{self.prefix}"'
        return f"ALL objects of {self.bck.cname()}"


async def selected(client: "Client", selection: Selection) -> AsyncIterator[Selected]:
    """The objects one after another: of a prefix those that exist, otherwise those that were named."""
    count = 0
    async for item in _all(client, selection):
        if selection.limit and count >= selection.limit:
            return
        count += 1
        yield item


async def _all(client: "Client", selection: Selection) -> AsyncIterator[Selected]:
    if selection.names is not None or selection.template is not None:
        for name in selection.names or selection.template or ():
            yield Selected(name)
        return
    from ais.api.codec import U64
    from ais.api.listing import Flag, LsoMsg

    page_size = min(selection.limit, 10_000)
    flags = Flag.NO_DIRS | (Flag.NO_RECURSION if selection.is_flat else Flag(0))
    message = LsoMsg(prefix=selection.prefix, props="name,size", flags=U64(flags), pagesize=page_size)
    async for entry in client.buckets.objects(selection.bck, message):
        yield Selected(entry.n, entry.s)
