"""Progress bars on stderr for transfers; nothing at all when stderr is no terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ais_cli import text


class Progress:
    """Counts bytes and objects of one transfer. This one shows nothing."""

    is_shown = False

    def expect(self, objects: int, size_bytes: int) -> None:
        """Raise the totals."""

    def moved(self, count: int) -> None:
        """Bytes were moved (negative: a failed attempt is taken back)."""

    def finished_one(self) -> None:
        """An object is done."""


class _Bars(Progress):
    is_shown = True

    def __init__(self, title: str, *, forced: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[objects]}/{task.fields[objects_total]}"),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True, force_terminal=forced or None),
            transient=True,
        )
        self._task = self.bars.add_task(title, total=None, objects=0, objects_total=0, rate="")
        self._objects = self._objects_total = self._size_total = 0

    def expect(self, objects: int, size_bytes: int) -> None:
        self._objects_total += objects
        self._size_total += size_bytes
        self.bars.update(self._task, total=self._size_total, objects_total=self._objects_total)

    def moved(self, count: int) -> None:
        self.bars.advance(self._task, count)
        # rich's own column counts in powers of ten.
        speed = self.bars.tasks[0].speed
        self.bars.update(self._task, rate=text.rate(int(speed)) if speed else "")

    def finished_one(self) -> None:
        self._objects += 1
        self.bars.update(self._task, objects=self._objects)


@contextmanager
def progress(title: str, *, wanted: bool | None, quiet: bool) -> Iterator[Progress]:
    """A progress bar while the context lasts. `wanted` None: when stderr is a terminal."""
    is_shown = sys.stderr.isatty() if wanted is None else wanted
    if quiet or not is_shown:
        yield Progress()
        return
    shown = _Bars(title, forced=bool(wanted))
    with shown.bars:
        yield shown
