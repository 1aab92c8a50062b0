"""Reading the objects of a family: every answer is compared with what may be there."""

import json
import random
from collections.abc import Callable
from xml.etree import ElementTree

from harness.faults.book import Asked
from harness.faults.family import S3_XML, USER, ObjectFamily, quoted, settle
from harness.faults.gateway import Refused, Unknown
from harness.faults.model import Outcomes
from harness.faults.steps import read
from harness.faults.values import Object
from harness.faults.web import Answer


class Reading(ObjectFamily):
    """The reads. Each returns None (a listing: False) when nobody answered."""

    async def get(self, source: random.Random, key: int) -> int | None:
        """GET, native: bytes and custom metadata. The status."""
        asked = self.begin("GET", key, read(key))
        answer = await settle(asked, self.gateway.object(source, "GET", self.bucket, self.keys[key]))
        if answer is None:
            return None
        if answer.status == 404:
            asked.answered(answer, _is_absent)
            return 404
        content = self._content(asked, answer)
        custom = _native_custom(answer)
        asked.answered(f"<{content}> {custom}", lambda outcomes: outcomes[0] == Object(content, custom))
        return 200

    async def get_s3(self, source: random.Random, key: int) -> tuple[int | None, str] | None:
        """GetObject: the content (None: there is none) and its entity tag; None without an answer."""
        asked = self.begin("s3 GET", key, read(key))
        answer = await settle(asked, self.gateway.s3(source, "GET", self.bucket, self.keys[key]))
        if answer is None:
            return None
        if answer.status == 404:
            asked.answered(answer, _is_absent)
            return None, ""
        content = self._content(asked, answer)
        custom = tuple(sorted(item for item in answer.headers.items() if item[0].startswith(USER)))
        asked.answered(
            f"<{content}> {custom}",
            lambda outcomes: (
                isinstance(one := outcomes[0], Object)
                and one.content == content
                and tuple(item for item in one.custom if item[0].startswith(USER)) == custom
            ),
        )
        return content, answer.headers["etag"]

    async def get_range(self, source: random.Random, key: int) -> None:
        """A range of an object."""
        start, length = source.choice((0, 100, 5000)), source.choice((1, 64, 10_000))
        asked = self.begin(f"GET {start}+{length}", key, read(key))
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        answer = await settle(asked, self.gateway.object(source, "GET", self.bucket, self.keys[key], headers=headers))
        if answer is None:
            return
        if answer.status not in (206, 404, 416):
            raise asked.wrong(answer)

        def accepts(outcomes: Outcomes) -> bool:
            one = outcomes[0]
            if not isinstance(one, Object):
                return answer.status == 404
            if answer.status == 206:
                return answer.body == self.contents.data(one.content)[start : start + length] != b""
            return answer.status == 416 and self.contents.size(one.content) <= start

        asked.answered(f"{answer.status}, {len(answer.body)} bytes", accepts)

    async def head(self, source: random.Random, key: int) -> None:
        """HEAD, native: size and checksum."""
        asked = self.begin("HEAD", key, read(key))
        answer = await settle(asked, self.gateway.object(source, "HEAD", self.bucket, self.keys[key]))
        if answer is None:
            return
        if answer.status == 404:
            asked.answered(answer, _is_absent)
            return
        if answer.status != 200:
            raise asked.wrong(answer)
        size, checksum = int(answer.headers["content-length"]), answer.headers.get("ais-checksum-value")
        kind = answer.headers.get("ais-checksum-type")

        def accepts(outcomes: Outcomes) -> bool:
            one = outcomes[0]
            if not isinstance(one, Object) or self.contents.size(one.content) != size:
                return False
            return kind != "xxhash2" or checksum == self.contents.xxhash2(one.content)

        asked.answered(f"{size} bytes, {kind} {checksum}", accepts)

    async def listing(self, source: random.Random, key: int = 0) -> bool:
        """A listing of the family, native, in pages. Whether it was answered."""
        asked = self._begin_listing("LIST")
        found: dict[str, int] = {}
        token = ""
        page_size = source.choice((2, 4, 1000))
        while True:
            value = {
                "prefix": self.prefix,
                "pagesize": page_size,
                "props": "name,size",
                "continuation_token": token,
            }
            message = {"action": "list", "value": value}
            try:
                answer = await self.gateway.bucket(source, "GET", f"/v1/buckets/{self.bucket}", {}, message)
            except (Refused, Unknown) as error:
                asked.unanswered(error)
                return False
            if answer.status != 200:
                raise asked.wrong(answer)
            page = json.loads(answer.body)
            found |= {entry["name"]: int(entry.get("size", 0)) for entry in page.get("entries") or ()}
            token = page.get("continuation_token", "")
            if not token:
                break
        self._listed(asked, found)
        return True

    async def listing_s3(self, source: random.Random, key: int = 0) -> bool:
        """ListObjectsV2 of the family, in pages. Whether it was answered."""
        asked = self._begin_listing("s3 LIST")
        found: dict[str, int] = {}
        token = ""
        page_size = source.choice((2, 4, 1000))
        while True:
            query = f"list-type=2&prefix={quoted(self.prefix)}&max-keys={page_size}"
            query += f"&continuation-token={quoted(token)}" if token else ""
            try:
                answer = await self.gateway.s3(source, "GET", self.bucket, query=query)
            except (Refused, Unknown) as error:
                asked.unanswered(error)
                return False
            if answer.status != 200:
                raise asked.wrong(answer)
            page = ElementTree.fromstring(answer.body)
            for entry in page.iter(f"{S3_XML}Contents"):
                found[entry.findtext(f"{S3_XML}Key") or ""] = int(entry.findtext(f"{S3_XML}Size") or 0)
            token = page.findtext(f"{S3_XML}NextContinuationToken") or ""
            if not token:
                break
        self._listed(asked, found)
        return True

    def _begin_listing(self, text: str) -> Asked:
        return self.book.begin_reads(self.names, text, [read(key) for key in range(len(self.keys))])

    def _listed(self, asked: Asked, found: dict[str, int]) -> None:
        strange = sorted(set(found) - set(self.keys))
        text = {title: found.get(name) for title, name in zip(self.names.keys, self.keys, strict=True)}
        if strange:
            raise asked.wrong(f"names nobody wrote: {strange[:5]}")

        def fits(name: str) -> Callable[[Outcomes], bool]:
            def accepts(outcomes: Outcomes) -> bool:
                one = outcomes[0]
                if not isinstance(one, Object):
                    return name not in found
                return name in found and (found[name] == self.contents.size(one.content) or not self.book.lists_sizes)

            return accepts

        asked.answered(text, *(fits(name) for name in self.keys))

    def _content(self, asked: Asked, answer: Answer) -> int:
        if answer.status != 200:
            raise asked.wrong(answer)
        content = self.contents.find(answer.body)
        if content is None:  # what appends under way make of others is known once the model looks at them
            for key in range(len(self.keys)):
                self.possible(key)
            content = self.contents.find(answer.body)
        if content is None:
            raise asked.wrong(f"bytes nobody stored: {self.contents.describe(answer.body)} from {answer.node}")
        return content


def _is_absent(outcomes: Outcomes) -> bool:
    return outcomes[0] is None


def _native_custom(answer: Answer) -> tuple[tuple[str, str], ...]:
    lines = [line for line in answer.headers.get("ais-custom-md", "").split("\n") if line]
    return tuple(sorted(tuple(line.split("=", 1)) for line in lines))  # type: ignore[misc]
