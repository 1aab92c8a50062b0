"""Lifecycle rules: the document, and which of an object's versions or uploads are due. The xaction does the deleting.

Served: Expiration (days, date, expired delete markers), NoncurrentVersionExpiration, AbortIncompleteMultipartUpload,
with filters by prefix, tags and size. Transitions ask for storage classes we do not have: refused.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

import msgspec

from ais.base.units import is_whole
from ais.s3 import xml
from ais.s3.errors import S3Error

RULES_MAX = 1000
DAY_S = 86400


class LifecycleRule(msgspec.Struct, frozen=True):
    """One rule. Zero or empty means not set; dates are Unix seconds at midnight UTC."""

    id: str
    enabled: bool
    prefix: str = ""
    tags: dict[str, str] = {}
    larger_than: int | None = None
    smaller_than: int | None = None
    expire_days: int = 0
    expire_date_s: int = 0
    expired_marker: bool = False
    noncurrent_days: int = 0
    noncurrent_keep: int = 0
    abort_days: int = 0

    def selects(self, name: str, size_bytes: int, tags: Mapping[str, str]) -> bool:
        """Whether the rule is about this object."""
        return (
            self.enabled
            and name.startswith(self.prefix)
            and (self.larger_than is None or size_bytes > self.larger_than)
            and (self.smaller_than is None or size_bytes < self.smaller_than)
            and all(tags.get(key) == value for key, value in self.tags.items())
        )


class Subject(NamedTuple):
    """A current object as the rules see it."""

    name: str
    size_bytes: int
    modified_s: float
    tags: Mapping[str, str]


def due_at(time_s: float, days: int) -> float:
    """S3 rounds up to the next midnight UTC after `days` whole days."""
    return (int(time_s) // DAY_S + 1 + days) * DAY_S


def is_expired(rules: Sequence[LifecycleRule], subject: Subject, now_s: float) -> bool:
    """Whether any rule wants the current version gone."""
    return any(
        rule.selects(subject.name, subject.size_bytes, subject.tags)
        and (
            (rule.expire_days > 0 and now_s >= due_at(subject.modified_s, rule.expire_days))
            or (rule.expire_date_s > 0 and now_s >= rule.expire_date_s)
        )
        for rule in rules
    )


def is_noncurrent_expired(
    rules: Sequence[LifecycleRule], subject: Subject, noncurrent_since_s: float, newer_kept: int, now_s: float
) -> bool:
    """Whether any rule wants a version gone that was replaced at `noncurrent_since_s`, with `newer_kept` newer ones."""
    return any(
        rule.selects(subject.name, subject.size_bytes, subject.tags)
        and rule.noncurrent_days > 0
        and newer_kept >= rule.noncurrent_keep
        and now_s >= due_at(noncurrent_since_s, rule.noncurrent_days)
        for rule in rules
    )


def is_marker_expired(rules: Sequence[LifecycleRule], name: str, modified_s: float, now_s: float) -> bool:
    """Whether any rule wants a delete marker gone below which no version is left. Rules with tags or sizes do not."""
    return any(
        rule.enabled
        and name.startswith(rule.prefix)
        and not rule.tags
        and rule.larger_than is rule.smaller_than is None
        and (rule.expired_marker or (rule.expire_days > 0 and now_s >= due_at(modified_s, rule.expire_days)))
        for rule in rules
    )


def is_upload_expired(rules: Sequence[LifecycleRule], name: str, initiated_s: float, now_s: float) -> bool:
    """Whether any rule wants an unfinished upload aborted."""
    return any(
        rule.enabled
        and rule.abort_days > 0
        and name.startswith(rule.prefix)
        and now_s >= due_at(initiated_s, rule.abort_days)
        for rule in rules
    )


MINIMUM = "x-amz-transition-default-minimum-object-size"
MINIMUMS = ("all_storage_classes_128K", "varies_by_storage_class")
"""From which size on objects move to another storage class. There is one: it is kept for who reads it again."""


def checked(body: bytes) -> str:
    """A `LifecycleConfiguration` as it is kept: as it was put, rules without an ID given one. Raise `S3Error`."""
    rules = parse_document(body)
    root = xml.parse(body, "LifecycleConfiguration")
    for element, rule in zip(root, rules, strict=True):
        if not xml.text(element, "ID", ""):
            for empty in element.findall("ID"):
                element.remove(empty)
            SubElement(element, "ID").text = rule.id
    return xml.rewritten(root).decode()


def expiration(rules: Sequence[LifecycleRule], subject: Subject) -> tuple[float, str] | None:
    """When the current version goes (Unix seconds) and by which rule; None: never."""
    due = [
        (due_at(subject.modified_s, rule.expire_days) if rule.expire_days else float(rule.expire_date_s), rule.id)
        for rule in rules
        if (rule.expire_days or rule.expire_date_s) and rule.selects(subject.name, subject.size_bytes, subject.tags)
    ]
    return min(due, default=None)


def parse_document(body: bytes) -> tuple[LifecycleRule, ...]:
    """The rules of a `LifecycleConfiguration`. Raise `S3Error`."""
    root = xml.parse(body, "LifecycleConfiguration")
    xml.only_children(root, "Rule")
    rules = tuple(_parse_rule(rule, number) for number, rule in enumerate(root))
    if not 1 <= len(rules) <= RULES_MAX:
        raise S3Error("MalformedXML", f"A LifecycleConfiguration has 1 to {RULES_MAX} rules")
    if len({rule.id for rule in rules}) != len(rules):
        raise S3Error("InvalidArgument", "Rule ID must be unique")
    return rules


def _parse_rule(rule: Element, number: int) -> LifecycleRule:
    if rule.find("Transition") is not None or rule.find("NoncurrentVersionTransition") is not None:
        raise S3Error("NotImplemented", "Transitions to other storage classes are not supported")
    actions = ("Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    xml.only_children(rule, "ID", "Status", "Prefix", "Filter", *actions)
    status = xml.text(rule, "Status")
    if status not in ("Enabled", "Disabled"):
        raise S3Error("MalformedXML", "Status must be Enabled or Disabled")
    if not any(rule.find(name) is not None for name in actions):
        raise S3Error("InvalidRequest", "At least one action needs to be specified in a rule.")
    identifier = xml.text(rule, "ID", "") or f"rule-{number + 1}"
    if len(identifier) > 255:
        raise S3Error("InvalidArgument", "ID length should not exceed allowed limit of 255")
    fields = _filter(rule) | _expiration(rule.find("Expiration")) | _noncurrent(rule.find(actions[1]))
    abort = rule.find(actions[2])
    if abort is not None:
        xml.only_children(abort, "DaysAfterInitiation")
        if "tags" in fields or "larger_than" in fields or "smaller_than" in fields:
            raise S3Error("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with tags or sizes.")
        fields["abort_days"] = _days(abort, "DaysAfterInitiation")
    return msgspec.convert({"id": identifier, "enabled": status == "Enabled", **fields}, LifecycleRule)


def _filter(rule: Element) -> dict[str, object]:
    filters = rule.find("Filter")
    if filters is None:
        return {"prefix": xml.text(rule, "Prefix", "")}
    if rule.find("Prefix") is not None:
        raise S3Error("MalformedXML", "Prefix stands either in Filter or in the rule")
    xml.only_children(filters, "And", "Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
    inner = filters.find("And")
    if inner is None:
        inner = filters
        if len(filters) > 1:
            raise S3Error("MalformedXML", "Several conditions in a Filter stand inside And")
    elif len(filters) > 1:
        raise S3Error("MalformedXML", "And stands alone in a Filter")
    xml.only_children(inner, "Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
    fields: dict[str, object] = {"prefix": xml.text(inner, "Prefix", "")}
    for tag in inner.findall("Tag"):
        xml.only_children(tag, "Key", "Value")
    if tags := {xml.text(tag, "Key"): xml.text(tag, "Value") for tag in inner.findall("Tag")}:
        fields["tags"] = tags
    for name, field in (("ObjectSizeGreaterThan", "larger_than"), ("ObjectSizeLessThan", "smaller_than")):
        if inner.find(name) is not None:
            fields[field] = _number(inner, name)
    return fields


def _expiration(element: Element | None) -> dict[str, object]:
    if element is None:
        return {}
    xml.only_children(element, "Days", "Date", "ExpiredObjectDeleteMarker")
    if len(element) != 1:
        raise S3Error("MalformedXML", "Expiration takes one of Days, Date and ExpiredObjectDeleteMarker")
    if element[0].tag == "Days":
        return {"expire_days": _days(element, "Days")}
    if element[0].tag == "ExpiredObjectDeleteMarker":
        return {"expired_marker": (element[0].text or "") == "true"}
    try:
        date = datetime.fromisoformat(element[0].text or "")
    except ValueError:
        raise S3Error("MalformedXML", "Date must be in ISO 8601 format") from None
    date_s = int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    if date_s % DAY_S:
        raise S3Error("InvalidArgument", "'Date' must be at midnight GMT")
    return {"expire_date_s": date_s}


def _noncurrent(element: Element | None) -> dict[str, object]:
    if element is None:
        return {}
    xml.only_children(element, "NoncurrentDays", "NewerNoncurrentVersions")
    fields: dict[str, object] = {"noncurrent_days": _days(element, "NoncurrentDays")}
    if element.find("NewerNoncurrentVersions") is not None:
        fields["noncurrent_keep"] = _days(element, "NewerNoncurrentVersions")
    return fields


def _days(element: Element, name: str) -> int:
    days = _number(element, name)
    if days < 1:
        raise S3Error("InvalidArgument", f"'{name}' must be a positive integer")
    return days


def _number(element: Element, name: str) -> int:
    value = xml.text(element, name)
    if not is_whole(value.removeprefix("-")) or int(value) >= 1 << 31:
        raise S3Error("MalformedXML", f"{name} must be a number")
    return int(value)


def document(rules: Sequence[LifecycleRule]) -> bytes:
    """The `LifecycleConfiguration` of rules."""
    return xml.document("LifecycleConfiguration", [("Rule", _rule(rule)) for rule in rules])


def _rule(rule: LifecycleRule) -> list[xml.Node]:
    conditions: list[xml.Node] = [("Prefix", rule.prefix)] if rule.prefix else []
    conditions += [("Tag", [("Key", key), ("Value", value)]) for key, value in rule.tags.items()]
    if rule.larger_than is not None:
        conditions.append(("ObjectSizeGreaterThan", rule.larger_than))
    if rule.smaller_than is not None:
        conditions.append(("ObjectSizeLessThan", rule.smaller_than))
    inside: list[xml.Node] = [("And", conditions)] if len(conditions) > 1 else conditions or [("Prefix", "")]
    nodes: list[xml.Node] = [("ID", rule.id), ("Filter", inside), ("Status", "Enabled" if rule.enabled else "Disabled")]
    if rule.expire_days:
        nodes.append(("Expiration", [("Days", rule.expire_days)]))
    elif rule.expire_date_s:
        date = datetime.fromtimestamp(rule.expire_date_s, UTC).strftime("%Y-%m-%dT00:00:00.000Z")
        nodes.append(("Expiration", [("Date", date)]))
    elif rule.expired_marker:
        nodes.append(("Expiration", [("ExpiredObjectDeleteMarker", True)]))
    if rule.noncurrent_days:
        noncurrent: list[xml.Node] = [("NoncurrentDays", rule.noncurrent_days)]
        if rule.noncurrent_keep:
            noncurrent.append(("NewerNoncurrentVersions", rule.noncurrent_keep))
        nodes.append(("NoncurrentVersionExpiration", noncurrent))
    if rule.abort_days:
        nodes.append(("AbortIncompleteMultipartUpload", [("DaysAfterInitiation", rule.abort_days)]))
    return nodes
