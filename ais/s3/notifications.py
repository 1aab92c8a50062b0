"""Notifications: which events of a bucket go to which receivers, and the message that says so. Pure.

Source: Amazon S3 user guide, "Event message structure" and "Supported event types". A receiver has an ARN,
`arn:ais:sqs::<name>:<kind>`, and its URL, which says the kind, stands in the configuration of the cluster
(`net.s3_events`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote_plus
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring

from ais.config import receivers
from ais.s3 import xml
from ais.s3.errors import S3Error

DOCUMENT = "notification"
EVENTS = (
    *("s3:ObjectCreated:Put", "s3:ObjectCreated:Post", "s3:ObjectCreated:Copy"),
    *("s3:ObjectCreated:CompleteMultipartUpload", "s3:ObjectRemoved:Delete"),
    *("s3:ObjectRemoved:DeleteMarkerCreated", "s3:LifecycleExpiration:Delete"),
    "s3:LifecycleExpiration:DeleteMarkerCreated",
)
"""What happens here. Amazon has others: a configuration with one of them is refused."""
_GROUPS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")
_ARN = re.compile(rf"arn:ais:s[qn]s::([a-z0-9-]{{1,32}}):({'|'.join(receivers.KINDS)})")
_KINDS = {"TopicConfiguration": "Topic", "QueueConfiguration": "Queue", "CloudFunctionConfiguration": "CloudFunction"}
EXPIRATION = "LifecycleExpiration"


class Rule(NamedTuple):
    """One configuration of a bucket. `kind`: of the receiver, as its ARN has it."""

    id: str
    receiver: str
    kind: str
    events: tuple[str, ...]
    prefix: str
    suffix: str

    def wants(self, event: str, key: str) -> bool:
        """Whether an event, `s3:ObjectCreated:Put`, is one of those."""
        if not key.startswith(self.prefix) or not key.endswith(self.suffix):
            return False
        return any(event == one or (one.endswith("*") and event.startswith(one[:-1])) for one in self.events)


def rules_of(document: str) -> tuple[Rule, ...]:
    """The rules of a document that was kept."""
    return tuple(_rules(fromstring(document))) if document else ()


def _rules(root: Element) -> Iterable[Rule]:
    for one in root.iter():
        kind = _KINDS.get(one.tag.rpartition("}")[2])
        if kind is None:
            continue
        for inner in one.iter():
            inner.tag = inner.tag.rpartition("}")[2]
        match = _ARN.fullmatch(one.findtext(kind, ""))
        parts = {rule.findtext("Name", "").lower(): rule.findtext("Value", "") for rule in one.iter("FilterRule")}
        events = tuple(event.text or "" for event in one.findall("Event"))
        receiver, of_kind = match.groups() if match else ("", "")
        yield Rule(one.findtext("Id", ""), receiver, of_kind, events, parts.get("prefix", ""), parts.get("suffix", ""))


def check(root: Element) -> None:
    """Raise `S3Error` InvalidArgument for a configuration that is not served."""
    if root.find("EventBridgeConfiguration") is not None:
        raise S3Error("NotImplemented", "There is no EventBridge: name a receiver of this cluster (net.s3_events)")
    for part in root.iter("FilterRule"):
        if xml.text(part, "Name").lower() not in ("prefix", "suffix"):
            raise S3Error("InvalidArgument", "filter rule name must be either prefix or suffix")
    rules = list(_rules(root))
    for number, rule in enumerate(rules):
        if not rule.receiver:
            raise invalid_destination(f"it is no ARN of a receiver, arn:ais:sqs::NAME:{'|'.join(receivers.KINDS)}")
        if not rule.events:
            raise S3Error("MalformedXML", "A configuration names at least one Event")
        for event in rule.events:
            if event not in EVENTS and event not in _GROUPS:
                raise S3Error("InvalidArgument", f"The event {event[:100]} is not supported for notifications")
        for other in rules[:number]:
            if _overlap(rule, other):
                raise S3Error(
                    "InvalidArgument",
                    "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
                )


def receivers_of(document: str, known: Mapping[str, str]) -> dict[str, str]:
    """The receivers of a document with their URLs. Raise `S3Error` InvalidArgument for one the cluster lacks."""
    wanted = {rule.receiver: rule.kind for rule in rules_of(document)}
    for name, kind in wanted.items():
        if name not in known:
            raise invalid_destination(f'the cluster has no receiver "{name}": see net.s3_events')
        if kind != (right := receivers.kind_of(known[name])):
            raise invalid_destination(f'the receiver "{name}" is another one: arn:ais:sqs::{name}:{right}')
    return {name: known[name] for name in wanted}


def invalid_destination(why: str) -> S3Error:
    """The refusal of a configuration, with its reason."""
    return S3Error("InvalidArgument", f"Unable to validate the following destination configurations: {why}")


def _overlap(one: Rule, other: Rule) -> bool:
    shared = any(set(_expanded(a)) & set(_expanded(b)) for a in one.events for b in other.events)
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    return shared and prefixes and (one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix))


def _expanded(event: str) -> list[str]:
    return [known for known in EVENTS if known == event or (event.endswith("*") and known.startswith(event[:-1]))]


def name_of(cause: str, *, is_removal: bool, makes_marker: bool) -> str:
    """The event of a change: `s3:ObjectCreated:Put`. `cause` is empty when a way of writing has no name of its own."""
    if not is_removal:
        return f"s3:ObjectCreated:{cause or 'Put'}"
    kind = EXPIRATION if cause == EXPIRATION else "ObjectRemoved"
    return f"s3:{kind}:{'DeleteMarkerCreated' if makes_marker else 'Delete'}"


class Happened(NamedTuple):
    """One event. `time_ns`: Unix nanoseconds; `sequencer` orders the events of one key."""

    event: str
    rule_id: str
    bucket: str
    owner: str
    region: str
    key: str
    size: int
    etag: str
    version_id: str
    sequencer: str
    time_ns: int
    user: str
    address: str
    request: str


def test_message(bucket: str, request: str, time_ns: int) -> dict[str, str]:
    """What a receiver is tried with when a bucket names it."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": _time(time_ns),
        "Bucket": bucket,
        "RequestId": request,
        "HostId": "ais",
    }


def record(found: Happened) -> dict[str, Any]:
    """An element of `Records`."""
    removed = not found.event.startswith("s3:ObjectCreated:")
    thing: dict[str, Any] = {"key": quote_plus(found.key, safe="/*-._"), "sequencer": found.sequencer}
    if not removed:
        thing |= {"size": found.size, "eTag": found.etag}
    if found.version_id:
        thing["versionId"] = found.version_id
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": found.region,
        "eventTime": _time(found.time_ns),
        "eventName": found.event.removeprefix("s3:"),
        "userIdentity": {"principalId": found.user},
        "requestParameters": {"sourceIPAddress": found.address},
        "responseElements": {"x-amz-request-id": found.request, "x-amz-id-2": "ais"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": found.rule_id,
            "bucket": {
                "name": found.bucket,
                "ownerIdentity": {"principalId": found.owner},
                "arn": f"arn:aws:s3:::{found.bucket}",
            },
            "object": thing,
        },
    }


def _time(unix_ns: int) -> str:
    moment = datetime.fromtimestamp(unix_ns // 1_000_000 / 1000, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def matching(rules: Sequence[Rule], event: str, key: str) -> dict[str, str]:
    """The receivers that want an event, with the ID of the rule for each."""
    return {rule.receiver: rule.id for rule in rules if rule.wants(event, key)}
