"""Which local files a `put` means, and under which names they are stored.

A source is a file, a directory, a pattern (`*.jpg`, quoted), a range template (`shard-{0..9}.tar`) or a comma-separated
list. What cannot be put is reported, never left out in silence.
"""

import fnmatch
import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ais.base import names, templates
from ais.base.errors import AisError, BadRequest


@dataclass(frozen=True, slots=True)
class File:
    """A file to put as the object `name`."""

    path: str
    name: str
    size: int


@dataclass
class Source:
    """What one argument of a `put` stands for."""

    text: str
    """As the user wrote it."""
    recursive: bool = False
    destination: str = ""
    """The beginning of each object's name, or the whole name for a single file unless it ends with `/`."""
    include_directory: bool = False
    """Object names of a directory's files begin with the directory's own name."""
    problems: list[tuple[str, AisError]] = field(default_factory=list)
    """What was found but cannot be put, filled while iterating."""
    directories_left_out: int = 0
    """Sub-directories that only `--recursive` would have entered."""

    @property
    def is_single(self) -> bool:
        """Whether this is one plain file, which may be given any name."""
        return os.path.isfile(_expanded(self.text))

    def files(self) -> Iterator[File]:
        """The files, in a stable order; begins `problems` anew. Raise `BadRequest` when the source makes no sense."""
        self.problems.clear()
        self.directories_left_out = 0
        path = _expanded(self.text)
        if os.path.isdir(path):
            yield from self._directory(path, "*")
        elif os.path.lexists(path):
            yield from self._checked(path, self._name_of_single(path))
        elif templates.has_range(self.text):
            yield from self._template(path)
        elif glob.has_magic(path):
            yield from self._pattern(path)
        elif "," in self.text:
            for one in filter(None, map(str.strip, self.text.split(","))):
                part = _expanded(one)
                yield from self._checked(part, self.destination + os.path.basename(part))
        else:
            raise BadRequest(f"no such file or directory: {self.text}")

    def _name_of_single(self, path: str) -> str:
        if self.destination and not self.destination.endswith("/"):
            return self.destination
        return self.destination + os.path.basename(path)

    def _template(self, path: str) -> Iterator[File]:
        template = templates.parse(path)
        parent = os.path.dirname(template.prefix)
        for one in template:
            yield from self._checked(one, self.destination + os.path.relpath(one, parent or "."))

    def _pattern(self, path: str) -> Iterator[File]:
        parent, pattern = os.path.split(path)
        if glob.has_magic(parent):
            matches = sorted(glob.glob(path, recursive=True))
            base = _fixed_parent(parent)
            found = (match for match in matches if not os.path.isdir(match))
            yield from self._many(found, base)
            if not matches:
                raise BadRequest(f"no file matches {self.text}")
            return
        if not os.path.isdir(parent or "."):
            raise BadRequest(f"no such directory: {parent}")
        count = 0
        for file in self._directory(parent or ".", pattern):
            count += 1
            yield file
        if not count and not self.problems:
            raise BadRequest(f"no file matches {self.text}")

    def _many(self, found: Iterator[str], base: str) -> Iterator[File]:
        for path in found:
            yield from self._checked(path, self.destination + os.path.relpath(path, base or "."))

    def _directory(self, root: str, pattern: str) -> Iterator[File]:
        own = os.path.basename(os.path.abspath(root)) + "/" if self.include_directory else ""
        for directory, below, found in os.walk(root, onerror=self._on_walk_error):
            below.sort()
            for one in [one for one in below if os.path.islink(os.path.join(directory, one))]:
                self._report(os.path.join(directory, one), "a symbolic link to a directory is not followed")
            if not self.recursive:
                self.directories_left_out += len(below)
                below.clear()
            for one in sorted(fnmatch.filter(found, pattern)):
                path = os.path.join(directory, one)
                yield from self._checked(path, self.destination + own + os.path.relpath(path, root))

    def _checked(self, path: str, name: str) -> Iterator[File]:
        try:
            found = os.stat(path)
            names.check_object_name(name)
        except OSError as error:
            self._report(path, error.strerror or str(error))
            return
        except AisError as error:
            self.problems.append((path, error))
            return
        if not stat.S_ISREG(found.st_mode):
            self._report(path, "not a regular file")
            return
        yield File(path, name, found.st_size)

    def _on_walk_error(self, error: OSError) -> None:
        self._report(error.filename or self.text, error.strerror or str(error))

    def _report(self, path: str, reason: str) -> None:
        self.problems.append((path, BadRequest(reason)))


def _expanded(text: str) -> str:
    return os.path.expanduser(text)


def _fixed_parent(path: str) -> str:
    """The part of a pattern's path before its first wildcard."""
    fixed: Path = Path()
    for part in Path(path).parts:
        if glob.has_magic(part):
            break
        fixed /= part
    return str(fixed)


def all_files(sources: list[Source]) -> Iterator[File]:
    """The files of all sources. Of two that would be the same object the second is a problem of its source."""
    several = len(sources) > 1 or "," in sources[0].text
    seen: dict[str, str] = {}
    for source in sources:
        for file in source.files():
            earlier = seen.setdefault(file.name, file.path) if several else ""
            if not earlier or earlier is file.path:
                yield file
            elif earlier != file.path:
                reason = f'has the same object name as {earlier}: "{file.name}"'
                source.problems.append((file.path, BadRequest(reason)))
