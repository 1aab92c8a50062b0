"""Requests on the objects of an S3 bucket that keeps versions."""

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.etree import ElementTree

from harness.faults.book import Asked, Book, Names
from harness.faults.family import S3_XML, SIZES, settle
from harness.faults.gateway import Gateway, Refused, Unknown
from harness.faults.model import Outcomes
from harness.faults.steps import read, write
from harness.faults.values import Contents

LEAVES = ("v", "v/w", "\N{SNOWMAN}")
KEPT_MAX = 12
"""More versions of one name than this are thinned out."""


class Version(NamedTuple):
    """One version of a name: which request made it, and its content; None: a delete marker."""

    made_by: int
    content: int | None


Versions = tuple[Version, ...]
"""The newest first."""


@dataclass(eq=False)
class Versioned:
    """One family of names in a bucket that keeps versions."""

    book: Book
    gateway: Gateway
    bucket: str
    prefix: str
    names: Names
    keys: tuple[str, ...]
    ids: dict[int, str] = field(default_factory=dict)
    """Version IDs that are known, by the request that made the version."""

    @classmethod
    def new(cls, book: Book, gateway: Gateway, bucket: str, prefix: str) -> "Versioned":
        """All names without a version."""
        names = book.family(f"{bucket}/{prefix}", LEAVES, ((),) * len(LEAVES))
        return cls(book, gateway, bucket, prefix, names, tuple(prefix + leaf for leaf in LEAVES))

    @property
    def contents(self) -> Contents:
        """All contents of the run."""
        return self.book.contents

    async def put(self, source: random.Random, key: int) -> None:
        """PutObject: a new latest version."""
        if self._longest(key) >= KEPT_MAX:
            await self.remove_version(source, key)
            return
        content = self.contents.new(source.choice(SIZES[1:]))
        asked = self._push(f"s3 PUT <{content}>", key, content)
        sent = self.gateway.s3(source, "PUT", self.bucket, self.keys[key], body=self.contents.data(content))
        answer = await settle(asked, sent)
        if answer is None:
            return
        if answer.status != 200:
            raise asked.wrong(answer)
        self.ids[asked.operation.id] = answer.headers["x-amz-version-id"]
        asked.answered(f"200, version {answer.headers['x-amz-version-id']}", _any)

    async def delete(self, source: random.Random, key: int) -> None:
        """DeleteObject: a delete marker on top."""
        if self._longest(key) >= KEPT_MAX:
            await self.remove_version(source, key)
            return
        asked = self._push("s3 DELETE", key, None)
        answer = await settle(asked, self.gateway.s3(source, "DELETE", self.bucket, self.keys[key]))
        if answer is None:
            return
        if answer.status != 204:
            raise asked.wrong(answer)
        self.ids[asked.operation.id] = answer.headers["x-amz-version-id"]
        asked.answered(f"204, marker {answer.headers['x-amz-version-id']}", _any)

    async def remove_version(self, source: random.Random, key: int) -> None:
        """DeleteObject of one version, for good."""
        known = [one for one in self._known(key) if one in self.ids]
        if not known:
            return
        made_by = source.choice(known)

        def remove(value: Hashable) -> tuple[Hashable, Hashable]:
            assert isinstance(value, tuple)
            return tuple(one for one in value if one.made_by != made_by), "ok"

        asked = self.book.begin(
            self.names, f"s3 DELETE version of #{made_by} {self.names.keys[key]}", write(key, remove)
        )
        query = f"versionId={self.ids[made_by]}"
        answer = await settle(asked, self.gateway.s3(source, "DELETE", self.bucket, self.keys[key], query))
        if answer is None:
            return
        if answer.status != 204:
            raise asked.wrong(answer)
        asked.answered("204", _any)

    async def get(self, source: random.Random, key: int) -> int | None:
        """GetObject of the latest version. The status."""
        asked = self.book.begin(self.names, f"s3 GET {self.names.keys[key]}", read(key))
        answer = await settle(asked, self.gateway.s3(source, "GET", self.bucket, self.keys[key]))
        if answer is None:
            return None
        if answer.status == 404:
            asked.answered(answer, lambda outcomes: not outcomes[0] or outcomes[0][0].content is None)
            return 404
        content = self.contents.find(answer.body) if answer.status == 200 else None
        if content is None:
            raise asked.wrong(
                f"bytes nobody stored: {self.contents.describe(answer.body)}" if answer.status == 200 else answer
            )
        version_id = answer.headers.get("x-amz-version-id", "")

        def accepts(outcomes: Outcomes) -> bool:
            latest = next(iter(outcomes[0]), None)
            return latest is not None and latest.content == content and self._may_be(latest, version_id)

        asked.answered(f"<{content}> version {version_id}", accepts)
        return 200

    async def get_version(self, source: random.Random, key: int) -> None:
        """GetObject of a version by its ID."""
        known = [one for one in self._known(key) if one in self.ids]
        if not known:
            return
        made_by = source.choice(known)
        asked = self.book.begin(self.names, f"s3 GET version of #{made_by} {self.names.keys[key]}", read(key))
        query = f"versionId={self.ids[made_by]}"
        answer = await settle(asked, self.gateway.s3(source, "GET", self.bucket, self.keys[key], query))
        if answer is None:
            return
        if answer.status not in (200, 404, 405):
            raise asked.wrong(answer)
        content = self.contents.find(answer.body) if answer.status == 200 else None

        def accepts(outcomes: Outcomes) -> bool:
            version = next((one for one in outcomes[0] if one.made_by == made_by), None)
            if version is None:
                return answer.status == 404
            if version.content is None:
                return answer.status == 405
            return answer.status == 200 and version.content == content

        asked.answered(f"{answer.status} <{content}>", accepts)

    async def listing(self, source: random.Random, key: int = 0) -> bool:
        """ListObjectVersions of the family. Whether it was answered."""
        asked = self.book.begin_reads(self.names, "s3 LIST versions", [read(one) for one in range(len(self.keys))])
        try:
            answer = await self.gateway.s3(source, "GET", self.bucket, query=f"versions&prefix={self.prefix}")
        except (Refused, Unknown) as error:
            asked.unanswered(error)
            return False
        if answer.status != 200:
            raise asked.wrong(answer)
        self._listed(asked, answer.body)
        return True

    def _listed(self, asked: Asked, body: bytes) -> None:
        listed: dict[str, list[tuple[str, int | None]]] = {name: [] for name in self.keys}
        for entry in ElementTree.fromstring(body):
            if entry.tag not in (f"{S3_XML}Version", f"{S3_XML}DeleteMarker"):
                continue
            size = entry.findtext(f"{S3_XML}Size")
            name = entry.findtext(f"{S3_XML}Key") or ""
            if name not in listed:
                raise asked.wrong(f"a name nobody wrote: {name}")
            listed[name].append((entry.findtext(f"{S3_XML}VersionId") or "", None if size is None else int(size)))

        def fits(found: list[tuple[str, int | None]]) -> Callable[[Outcomes], bool]:
            def accepts(outcomes: Outcomes) -> bool:
                return len(found) == len(outcomes[0]) and all(
                    self._may_be(version, version_id)
                    and (size is None) == (version.content is None)
                    and (version.content is None or self.contents.size(version.content) == size)
                    for (version_id, size), version in zip(found, outcomes[0], strict=True)
                )

            return accepts

        text = {title: listed[name] for title, name in zip(LEAVES, self.keys, strict=True)}
        asked.answered(text, *(fits(listed[name]) for name in self.keys))
        self._learn(listed)

    def _learn(self, listed: dict[str, list[tuple[str, int | None]]]) -> None:
        """IDs of versions whose answer never came, where there is no doubt which they are."""
        for key, name in enumerate(self.keys):
            possible = self.names.family.possible(key)
            if len(possible) == 1:
                (versions,) = possible
                if len(versions) == len(listed[name]):
                    for version, (version_id, _) in zip(versions, listed[name], strict=True):
                        self.ids.setdefault(version.made_by, version_id)

    def _may_be(self, version: Version, version_id: str) -> bool:
        return self.ids.get(version.made_by, version_id) == version_id

    def _push(self, text: str, key: int, content: int | None) -> Asked:
        made_by: list[int] = []

        def push(value: Hashable) -> tuple[Hashable, Hashable]:
            assert isinstance(value, tuple)
            return (Version(made_by[0], content), *value), "ok"

        asked = self.book.begin(self.names, f"{text} {self.names.keys[key]}", write(key, push))
        made_by.append(asked.operation.id)
        return asked

    def _known(self, key: int) -> list[int]:
        return sorted({one.made_by for versions in self._versions(key) for one in versions})

    def _versions(self, key: int) -> set[Versions]:
        return {value for value in self.names.family.possible(key) if isinstance(value, tuple)}

    def _longest(self, key: int) -> int:
        return max(map(len, self._versions(key)))


def _any(_: Outcomes) -> bool:
    return True
