"""Names of output shards: a range template, or printf's `shard-%06d`, which never ends."""

import itertools
import re
from collections.abc import Iterator

from ais.base import names, templates
from ais.base.errors import InvalidTemplate

_NUMBER = re.compile(r"%(?:0(\d{1,2}))?d")


class ShardNames:
    """What a template names. Raise `InvalidTemplate` when it has no range, `InvalidName` when an object cannot have it.

    `count`: how many names there are; None: no end.
    """

    def __init__(self, text: str) -> None:
        text = text.strip()
        self._text = text
        numbers = _NUMBER.findall(text)
        self.count: int | None = None
        if len(numbers) == 1 and not templates.has_range(text):
            self._width = int(numbers[0] or 0)
            self._template = None
        else:
            self._template = templates.parse(text)
            if self._template.is_prefix:
                raise InvalidTemplate(
                    f'invalid template "{text[:200]}": names of output shards need a range, as in shard-{{0000..9999}}'
                )
            self.count = len(self._template)
        names.check_object_name(next(iter(self)))

    def __iter__(self) -> Iterator[str]:
        if self._template is not None:
            return iter(self._template)
        return (_NUMBER.sub(f"{number:0{self._width}d}", self._text) for number in itertools.count())
