"""Changing the objects of a bucket that keeps no versions, native and S3, and what the answers may be."""

import json
import random
from collections.abc import Hashable

from harness.faults.book import Asked, Size
from harness.faults.family import S3_ONLY, SIZES, USER, quoted, settle
from harness.faults.gateway import Refused, Unknown
from harness.faults.model import Outcomes, State, Step
from harness.faults.reading import Reading
from harness.faults.steps import capture, paste, put, remove, remove_captured, replaced, write
from harness.faults.uploads import NativeUpload, S3Upload, Upload
from harness.faults.values import Object
from harness.faults.web import Answer

PART_MIN = 5 << 20


class Objects(Reading):
    """One family: the changes."""

    async def put(self, source: random.Random, key: int) -> None:
        """PUT, native."""
        content = self.contents.new(source.choice(SIZES))
        await self.put_content(source, key, content)

    async def put_content(self, source: random.Random, key: int, content: int) -> None:
        """PUT of a content; repeated once, as clients do, when nobody knows."""
        for attempt in ("PUT", "PUT again"):
            asked = self.begin(f"{attempt} <{content}>", key, put(key, Object(content, (("op", str(content)),))))
            headers = {"Ais-Custom-Md": f"op={content}"}
            answer = await settle(
                asked,
                self.gateway.object(
                    source, "PUT", self.bucket, self.keys[key], headers=headers, body=self.contents.data(content)
                ),
            )
            if answer is not None:
                self.expect(asked, answer, {200: "ok"})
            if not (asked.is_lost and source.random() < 0.5 and self.names.takes(Size.CHANGE)):
                return

    async def put_s3(self, source: random.Random, key: int) -> None:
        """PutObject."""
        content = self.contents.new(source.choice(SIZES))
        asked = self.begin(f"s3 PUT <{content}>", key, put(key, _s3_object(content)))
        answer = await settle(asked, self._s3_put(source, key, content))
        if answer is not None:
            self.expect(asked, answer, {200: "ok"})

    async def delete(self, source: random.Random, key: int) -> None:
        """DELETE, native."""
        for attempt in ("DELETE", "DELETE again"):
            asked = self.begin(attempt, key, remove(key))
            answer = await settle(asked, self.gateway.object(source, "DELETE", self.bucket, self.keys[key]))
            if answer is not None:
                self.expect(asked, answer, {200: "ok", 404: "absent"})
            if not (asked.is_lost and self.names.takes(Size.CHANGE)):
                return

    async def delete_s3(self, source: random.Random, key: int) -> None:
        """DeleteObject."""
        asked = self.begin("s3 DELETE", key, remove(key))
        answer = await settle(asked, self.gateway.s3(source, "DELETE", self.bucket, self.keys[key]))
        if answer is not None:
            self.expect(asked, answer, {204: None})

    async def patch(self, source: random.Random, key: int) -> None:
        """Merge custom metadata."""
        mark = str(source.randrange(10**6))

        def merge(value: Hashable) -> tuple[Hashable, Hashable]:
            if not isinstance(value, Object):
                return value, "absent"
            custom = dict(value.custom) | {"patched": mark}
            return value._replace(custom=tuple(sorted(custom.items()))), "ok"

        asked = self.begin(f"PATCH {mark}", key, write(key, merge))
        body = json.dumps({"value": {"patched": mark}}).encode()
        answer = await settle(asked, self.gateway.object(source, "PATCH", self.bucket, self.keys[key], body=body))
        if answer is not None:
            self.expect(asked, answer, {200: "ok", 404: "absent"})

    async def create_if_absent(self, source: random.Random, key: int) -> None:
        """PutObject with If-None-Match: *."""
        content = self.contents.new(source.choice(SIZES))

        def create(value: Hashable) -> tuple[Hashable, Hashable]:
            return (_s3_object(content), "ok") if value is None else (value, "exists")

        asked = self.begin(f"s3 PUT if absent <{content}>", key, write(key, create))
        answer = await settle(asked, self._s3_put(source, key, content, {"If-None-Match": "*"}))
        if answer is not None:
            self.expect(asked, answer, {200: "ok", 412: "exists"}, nothing=(409,))

    async def compare_and_swap(self, source: random.Random, key: int) -> None:
        """Read, then PutObject or DeleteObject with If-Match."""
        seen = await self.get_s3(source, key)
        if seen is None or seen[0] is None:
            return
        found, etag = seen
        content = None if source.random() < 0.2 else self.contents.new(source.choice(SIZES))

        def swap(value: Hashable) -> tuple[Hashable, Hashable]:
            if not isinstance(value, Object):
                return value, "absent"
            if value.content != found:
                return value, "other"
            return (None if content is None else _s3_object(content)), "ok"

        what = "DELETE" if content is None else f"PUT <{content}>"
        asked = self.begin(f"s3 {what} if match <{found}>", key, write(key, swap))
        condition = {"If-Match": etag}
        if content is None:
            sent = self.gateway.s3(source, "DELETE", self.bucket, self.keys[key], headers=condition)
        else:
            sent = self._s3_put(source, key, content, condition)
        answer = await settle(asked, sent)
        if answer is not None:
            # The same bytes may have another entity tag by now (copied natively, say): 412 tells nothing.
            self.expect(asked, answer, {204 if content is None else 200: "ok", 404: "absent"}, nothing=(409, 412))

    async def copy(self, source: random.Random, key: int) -> None:
        """Copy to another name of the family, native or S3."""
        is_s3 = S3_ONLY in (key, other := self._other(source, key)) or source.random() < 0.5
        text = f"{'s3 ' * is_s3}COPY to {self.names.keys[other]} of"
        asked = self.begin(text, key, capture(key), paste(other))
        if is_s3:
            headers = {"x-amz-copy-source": quoted(f"{self.bucket}/{self.keys[key]}")}
            sent = self.gateway.s3(source, "PUT", self.bucket, self.keys[other], headers=headers)
        else:
            to = {"object_to": f"ais/@#/{self.bucket}/{self.keys[other]}"}
            sent = self.gateway.object(source, "PUT", self.bucket, self.keys[key], to)
        answer = await settle(asked, sent)
        if answer is not None:
            self.expect(asked, answer, {200: "ok", 404: "absent"}, at=1)

    async def rename(self, source: random.Random, key: int) -> None:
        """Rename to another name of the family."""
        other = self._other(source, key, native=True)
        asked = self.begin(
            f"RENAME to {self.names.keys[other]} of", key, capture(key), paste(other), remove_captured(key)
        )
        body = json.dumps({"action": "rename-obj", "name": self.keys[other]}).encode()
        answer = await settle(asked, self.gateway.object(source, "POST", self.bucket, self.keys[key], body=body))
        if answer is not None:
            if answer.status == 409:  # replaced meanwhile: the new name has the object, the old one what came
                asked.ended(answer)
            elif answer.status == 200:
                asked.answered(answer, lambda outcomes: outcomes[1:] == ("ok", "ok"))
            else:
                self.expect(asked, answer, {404: "absent"}, at=1)

    async def append(self, source: random.Random, key: int) -> None:
        """Appends to what is there, then the flush. Any failure before the flush ends it without effect."""
        if any(isinstance(one, Object) and self.contents.size(one.content) > 200_000 for one in self.possible(key)):
            await self.put(source, key)
            return
        pieces = tuple(self.contents.new(source.choice(SIZES[1:7])) for _ in range(source.randint(1, 3)))

        def flush(state: State, before: Outcomes) -> tuple[State, Hashable]:
            base = before[0]
            parts = (base.content, *pieces) if isinstance(base, Object) else pieces
            old = state[key]
            custom = old.custom if isinstance(old, Object) else ()
            return replaced(state, key, Object(self.contents.joined(parts), custom)), "ok"

        asked = self.begin(f"APPEND {pieces}", key, capture(key), Step((key,), flush))
        handle = ""
        for piece in pieces:
            query = {"append_type": "append", "append_handle": handle}
            sent = self.gateway.object(
                source, "PUT", self.bucket, self.keys[key], query, body=self.contents.data(piece)
            )
            try:
                answer = await sent
            except (Refused, Unknown) as error:
                asked.refused(error)
                return
            if answer.status != 200:
                if answer.status != 404 or not handle:
                    raise asked.wrong(answer)
                asked.refused(answer)
                return
            handle = answer.headers["ais-append-handle"]
        query = {"append_type": "flush", "append_handle": handle}
        answer = await settle(asked, self.gateway.object(source, "PUT", self.bucket, self.keys[key], query))
        if answer is not None:
            self.expect(asked, answer, {200: "ok"}, at=1, nothing=(404,))

    async def multipart(self, source: random.Random, key: int) -> None:
        """An upload in parts, native or S3; a complete without an answer is repeated."""
        is_s3 = key == S3_ONLY or source.random() < 0.6
        sizes = [PART_MIN, source.choice(SIZES[1:])] if is_s3 and source.random() < 0.5 else [source.choice(SIZES[1:])]
        if not is_s3:
            sizes = [source.choice(SIZES[1:]) for _ in range(source.randint(1, 4))]
        parts = [self.contents.new(size) for size in sizes]
        calls = S3Upload(self, source, key) if is_s3 else NativeUpload(self, source, key)
        try:
            if not await calls.start():
                return
            numbers = list(range(1, len(parts) + 1))
            if source.random() < 0.3:
                numbers.append(source.choice(numbers))
            source.shuffle(numbers)
            for number in numbers:
                if not await calls.part(number, self.contents.data(parts[number - 1])):
                    return
        except (Refused, Unknown):
            return
        if source.random() < 0.1:
            await calls.abort()
            return
        await self._complete(source, key, parts, calls, is_conditional=is_s3 and source.random() < 0.3)

    async def _complete(
        self, source: random.Random, key: int, parts: list[int], calls: Upload, *, is_conditional: bool
    ) -> None:
        whole = Object(self.contents.joined(tuple(parts)), calls.custom)

        def complete(value: Hashable) -> tuple[Hashable, Hashable]:
            return (value, "exists") if is_conditional and value is not None else (whole, "ok")

        earlier: list[Asked] = []
        for attempt in range(4):
            asked = self.begin(
                f"{'s3 ' * calls.is_s3}COMPLETE{' again' * bool(attempt)}{' if absent' * is_conditional}"
                f" <{whole.content}> of {parts}",
                key,
                write(key, complete),
            )
            try:
                answer = await calls.complete(is_conditional)
            except Refused as error:
                asked.refused(error)
                continue
            except Unknown as error:
                asked.unanswered(error)
                earlier.append(asked)
                if not self.names.takes(Size.CHANGE):
                    return
                continue
            if answer.status == 404 and earlier:
                asked.refused(answer)
                self._has_happened(earlier)
            else:
                self.expect(asked, answer, {200: "ok", 412: "exists"}, nothing=(409,))
            return

    def _has_happened(self, earlier: list[Asked]) -> None:
        """The upload is gone: one of the requests before must have completed it."""
        still = [one for one in earlier if self.names.family.is_open(one.operation)]
        if len(still) == 1 and len(earlier) == 1:
            self.names.family.happened(still[0].operation)

    async def _s3_put(
        self, source: random.Random, key: int, content: int, condition: dict[str, str] | None = None
    ) -> Answer:
        headers = {f"{USER}op": str(content), **(condition or {})}
        return await self.gateway.s3(
            source, "PUT", self.bucket, self.keys[key], headers=headers, body=self.contents.data(content)
        )

    def _other(self, source: random.Random, key: int, *, native: bool = False) -> int:
        return source.choice([one for one in range(len(self.keys) - native) if one != key])


def _s3_object(content: int) -> Object:
    return Object(content, ((f"{USER}op", str(content)),))
