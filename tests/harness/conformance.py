"""What the recorded exchanges need before they can be sent, and where our answers differ from AIStore's on purpose.

A difference that no rule explains fails the test; a rule that explains nothing is to be removed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.captures import Exchange
from harness.wire import Api

AREAS = (
    "cluster",
    "node",
    "health",
    "metrics",
    "bucket",
    "list-buckets",
    "list-objects",
    "summary",
    "bucket-info",
    "bucket-props",
    "object",
    "object-append",
    "object-post",
    "multipart",
    "easy-url",
    "s3",
    "jobs",
    "archive",
    "mountpaths",
    "config",
    "etl",
    "download",
)
"""In the order in which they were recorded, as far as one builds on another. They share one cluster."""

LATER_AREAS = {
    "auth-on-cluster": "tokens in requests",
    "authn": "an AuthN server beside the cluster (tests/authn compares those)",
    "build-without-dsort": "a build without dSort: we have one build",
    "dsort": "dSort",
    "get-batch": "the recorded batch of objects",
    "membership": "nodes that leave and come back while the recording goes on",
    "promote": "files below /var/lib/ais/promote of this machine",
    "remote-ais": "remote clusters",
    "two-proxies": "a second gateway that is stopped while the recording goes on",
    "upstream-bugs": "AIStore's crashes",
}
"""Areas that are not sent: what is missing."""

MISSING = {
    r"> \w+ \S*(/cloud\b|cloud\?|provider=(aws|gcp|azure))": "remote backends",
    r"> \w+ \S*(%40rem|@rem)": "remote clusters",
    r"jobs/03[56]|jobs/03[34]": "mirroring",
    r"jobs/178": "the object that was rechunked: another test of the recording overwrote it",
    r"config/04[23]": "tokens in requests",
    r"jobs/(249|25[01])": "the state of erasure coding that was recorded",
    r"jobs/(25[89]|26)": "rebalance on demand",
    r"jobs/07[3-8]|jobs/25[2-6]|bucket-props/00[89]": "erasure coding",
}
"""Exchanges that are not sent, by what they ask for or by name: what is missing."""


@dataclass
class Rule:
    """Differences that are meant: where (a pattern of exchange names), which (of difference lines), and why."""

    where: str
    what: str
    why: str
    is_sure: bool = True
    """Whether the difference is always there, whatever the machine and its load."""
    used: int = field(default=0, init=False)

    def explains(self, exchange: Exchange, difference: str) -> bool:
        """Whether this difference is meant, for this reason."""
        found = bool(re.search(self.where, exchange.name) and re.search(self.what, difference))
        self.used += found
        return found


ANYWHERE = ""
RULES = (
    # -- downloads
    Rule(r"download/013", "status 200 instead of 404", "a download is the xaction of that ID"),
    Rule(r"download/030", r"\.ctlmsg: not in|\.ext: object", "says what is downloaded, and how far it is"),
    # -- everywhere
    Rule(ANYWHERE, r"verifying_key: missing", "pairs of our nodes share a key: nothing that anybody could verify"),
    Rule(
        r"mountpaths/01[25]",
        r"\.disabled\[\]: 0|\.waiting_dd\[\]: 1|\./ais/mp3: not in",
        "recorded when the mountpath had been emptied: here it is asked at once",
        is_sure=False,
    ),
    Rule(
        r"jobs/06[34]",
        r"\[\]: 0 elements instead of 1",
        "recorded when the bucket had been renamed: here it is asked at once, perhaps before targets begin",
        is_sure=False,
    ),
    Rule(ANYWHERE, r"\.pub_keys: not in", "the public half of a node's key, from which each pair makes its own"),
    Rule(r"\.1$", r"header content-type: missing|body: 0 bytes", "our redirects have no page for people in their body"),
    Rule(
        ANYWHERE, r"header content-length: 0 instead of None", "a HEAD of nothing says so: Go leaves a length of 0 out"
    ),
    Rule(ANYWHERE, r"header allow:", "we list what is served: OPTIONS, PUT, PATCH, too"),
    Rule(
        ANYWHERE,
        r"\.tracker\.\S+: missing",
        "counters appear when something was counted; not of every feature yet",
        is_sure=False,
    ),
    Rule(
        ANYWHERE,
        r"\.tracker\.\S+: not in",
        "counted here and not yet in the recording, or counted by us only",
        is_sure=False,
    ),
    Rule(
        ANYWHERE,
        r"\.AllDiskStats\.\w+: (missing|not in)",
        "loads of disks: the machine's, after the first interval",
        is_sure=False,
    ),
    Rule(ANYWHERE, r"\.keepalivetracker\.silent_targets: not in", "a setting of ours"),
    Rule(ANYWHERE, r"^\.workers: not in", "a setting of ours, shown of nodes that have any", is_sure=False),
    Rule(ANYWHERE, r"\.backend\.(ais|aws): missing", "no remote backends yet"),
    Rule(ANYWHERE, r"\.proxy\.discovery_url: string \(empty\)", "our cluster needs no discovery URL"),
    Rule(ANYWHERE, r"ais-(name|bucket-name|bucket-provider): not in", "HEAD by properties says whose they are, too"),
    Rule(ANYWHERE, r"header content-type: not in", "HEAD says the content type that GET will say"),
    Rule(ANYWHERE, r"header ais-location:", "the mountpath, without its disks and label"),
    Rule(ANYWHERE, r"\.tcode: (ErrXactNotFound instead of ErrNotFound|not in)", "an unknown thing always has a tcode"),
    # -- the cluster and its nodes
    Rule("cluster/002", r"\.ext: not in|providers", "`ext` is null as in other answers; other buckets"),
    Rule("(cluster|node)/", r"\.providers\.", "other buckets than the recorded cluster had"),
    Rule("node/00[34]|node/068|cluster/030", r"\.ext: not in", "`ext` is null as in other answers"),
    Rule("cluster/(009|010)", r"\[\]: 0 elements", "no remote backends and clusters"),
    Rule("(cluster/013|node/02[12])", r"status 400", "smapvote is between AIStore's nodes"),
    Rule("node/0(07|08|69)", r"status 200", "a node tells its cluster's configuration, too"),
    Rule(ANYWHERE, r"\.build_time: string \(empty\)", "nothing is built"),
    Rule("node/(013|014|077)", r"body: '5\.0\.\d", "the version is a number, without a commit"),
    Rule("node/(015|016|072|090|091)", r": (missing|not in)", "names of metrics of features we lack, or of ours only"),
    Rule("node/032", r"status 400", "what=remote is answered by gateways"),
    Rule(
        "node/(055|056|057|058|060|080|081|094)",
        r"header content-type: application/json",
        "JSON is always taken",
    ),
    Rule(
        "node/08[56]",
        r"body: 0 bytes",
        "a log without errors or warnings is empty: no line about the start",
        is_sure=False,
    ),
    Rule("node/088", r"header content-type: application/gzip", "the registered name of that type"),
    Rule("health/", r"header ais-(node|cluster)-uptime: (not in|missing)", "targets tell uptimes, errors do not"),
    Rule("health/01[024]", r"status 400", "a target asked as if it were primary says so"),
    Rule("health/01[78]", r"status 405", "health is asked with GET"),
    Rule("metrics/", r"header content-type:", "the text format without AIStore's remark on escaping"),
    # -- buckets
    Rule("bucket/013|bucket-props/005", r"status 400", "mirroring with one copy is refused"),
    Rule("bucket/019", r"status 405", "a target has no such endpoint on its public network"),
    Rule("bucket/040", r"status 200", "AIStore takes a rename between namespaces for one onto itself"),
    Rule("list-buckets/007", r"0 elements", "the recorded rename from that namespace was refused"),
    Rule("list-objects/01[12]", r"status 400", "a property that does not exist is refused, not ignored"),
    Rule("list-objects/031", r"status 404", "an unknown target is not found, as everywhere else"),
    Rule("list-objects/049", r"status 404", "the recorded rename from that namespace was refused"),
    Rule("summary/015", r"status 404", "an unknown summary is not found, as any other job"),
    # -- objects
    Rule("object/02[23]", r"header ais-custom-md: missing", "a long name needs no custom metadata to be kept"),
    Rule("object/024", r"status 400", "names have at most 1024 bytes, as S3's: longer ones are refused"),
    Rule("object/043", r"\.tcode: ErrNotImpl", "no ETL yet"),
    Rule(
        "object/05[3-8]",
        r"content-range: not in|\.tcode: ErrRange",
        "every 416 says the size",
    ),
    Rule("object/057", r"status 416", "the last 0 bytes cannot be satisfied (RFC 9110)"),
    Rule("object/08[57]", r"status 40[04]", "presence is checked before the object is looked for"),
    Rule("object/(075|077)", r"header ais-present: missing", "a refused HEAD says nothing about the object"),
    Rule("object/098", r"status 404", "AIStore finds the object under the name that a rename gave it before"),
    Rule("object/102", r"status 400", "evicting from an ais:// bucket would lose the only copy"),
    Rule("object-append/010", r"status 200", "an append may consist of its last piece"),
    Rule("object-post/016", r"status 400", "copying an object onto itself is refused"),
    Rule("multipart/", r"header etag: not in", "parts of native uploads have an ETag, too"),
    Rule("multipart/00[45]", r"status 400", "a wrong part number is the client's error"),
    Rule("multipart/008", r"status 500", "a part whose checksum is not the claimed one is refused, not taken"),
    Rule(
        "multipart/01[1-7]",
        r"status (200|206|404)|1 elements",
        "that part was refused: completing works",
    ),
    Rule("multipart/034", r"header ais-chunks", "HEAD says how an object was uploaded"),
    Rule("easy-url/009", r"\.tcode", "a bucket of a missing backend is a missing bucket"),
    Rule("easy-url/012", r"status 405", "easy URLs of buckets are read with GET"),
    Rule("easy-url/017", r"status 404", "what is no native path is S3's: a bucket named v2"),
    Rule("multipart/020", r"\.tcode: ErrNotFound instead of wrapError", "not found, and nothing else"),
    Rule("object/088", r"status (200|503)", "a target that does not own the object asks, or cannot know"),
    Rule("bucket-props/012", r"body: 10 bytes", "the job that removes the copies has an ID"),
    # -- mountpaths, settings
    Rule("mountpaths/005|mountpaths/007", r"\.tcode: ErrMpathNotFound", "what is not there is a mountpath"),
    Rule("mountpaths/006", r"status 404", "the recorded directory is not here"),
    Rule("mountpaths/008", r"\.tcode: missing", "a bad request, and nothing else"),
    Rule("mountpaths/004", r"status 204", "attaching what is attached changes nothing, as enabling what is enabled"),
    Rule("config/006|config/016", r"\.tcode: missing", "a bad request, and nothing else"),
    Rule("config/014", r"status 400", "a change of nothing is refused"),
    Rule("config/015", r"status 200", "features are set by name at once, too"),
    Rule("config/030", r"status 400", "a path that is none is refused"),
    Rule("config/033", r"elements", "no remote backends yet"),
    Rule("bucket-props/034", r"coding_id", "erasure coding was switched off: slices of before are known by it"),
    Rule("bucket-props/016|config/03[24]", r"status 400", "the cluster that is asked has no backend configured"),
    Rule("config/04[01]", r"status 405", "no such verb there"),
    Rule("etl/", r"\.tcode: ErrNotImpl", "no ETL yet, not: a build without it"),
    Rule("config/010", r"status 200", "settings by name can be transient, too"),
    # -- S3: Amazon's answers where AIStore's differ; tests/s3 holds them against Amazon's model
    Rule("s3/|multipart/026|easy-url/008", r"header x-amz-(id-2|request-id|checksum|version-id)", "as Amazon answers"),
    Rule("s3/|multipart/026|easy-url/008", r"^\.\w+(\.\S+)?: (missing|not in|string)", "Amazon's elements"),
    Rule("s3/", r"header x-(content-type-options|amz-meta-)", "Amazon's headers; stored metadata comes back"),
    Rule("s3/", r"header (location|last-modified|accept-ranges|content-type|etag|allow)", "Amazon's headers"),
    Rule("s3/005", r"x-amz-bucket-region", "the region the bucket was made in"),
    Rule("s3/0(25|30)", r"status 400", "a token or a number that is none is refused"),
    Rule("s3/0(35|39|40|41|43|74)", r"status (404|409)", "what does not exist is 404"),
    Rule("s3/0(42|44|45|46|49|56|7[01])", r"status (200|400|404|501)", "answered as Amazon does, or 501"),
    Rule("s3/0(57|58|59)", r"status (400|404)", "the parts are smaller than Amazon allows"),
    Rule("s3/06[89]", r"status 204", "deleting answers 204, also what is not there"),
    Rule("s3/073", r"status 409", "a bucket with objects is not deleted"),
    Rule("archive/006", r"\.tcode: missing", "a bad pattern is a bad request"),
    Rule("archive/014", r"status 400", "an unknown kind of archive is a bad request, not a missing thing"),
    Rule("archive/018", r"10 elements", "a prefix also finds what is in a shard"),
    Rule(
        "archive/015",
        r"header ais-(checksum-\w+|version): not in",
        "a shard keeps a checksum when something was appended",
    ),
    # -- jobs
    Rule(
        "jobs/",
        r"end-time: string \(RFC 3339\) instead",
        "a job ends with its work: AIStore's idles first",
        is_sure=False,
    ),
    Rule("jobs/.*archive", r"elements instead", "only the owner of the archive works"),
    Rule("jobs/065", r"status 409", "a rename that has not ended yet is 409", is_sure=False),
    Rule("jobs/238", r"0 elements", "the copy that ran then had ended", is_sure=False),
    Rule("jobs/(001|018|201)", r"3 elements|zero time", "jobs that keep copies of b1 go on", is_sure=False),
    Rule("jobs/", r"\.progress: not in", "how far a job is, for our own CLI", is_sure=False),
    Rule("jobs/20[467]", r"\.ctlmsg: not in", "there in every snap: empty here"),
    Rule("jobs/179", r"\.tcode: missing", "a bad request, not a failure of the cluster"),
    Rule("jobs/10[46]", r"\.ctlmsg: not in", "what a job is about, also for all objects of a bucket"),
    Rule("jobs/21[5-8]", r"not in", "a target that resilvers nothing says so"),
    Rule("jobs/061", r"0 elements", "a rename reaches one target after the other", is_sure=False),
    Rule("jobs/257", r"status 503", "what S3 keeps as versions cannot move yet", is_sure=False),
    Rule("jobs/006", r"status 400", "an unknown kind of job is refused"),
    Rule("jobs/01[3-8]", r"0 elements|missing", "listing is no job here"),
)
"""The first rule that explains a difference counts."""


def _objects(api: Api, bucket: str, contents: dict[str, bytes]) -> None:
    api.create(bucket)
    for name, content in contents.items():
        api.put(bucket, name, content)


def _listed(api: Api) -> None:
    plain = {f"a-{number}": b"x" * (50 * (number + 1)) for number in range(7)}
    _objects(api, "empty", {})
    _objects(api, "b1", plain | dict.fromkeys(("d1/d2/z", "d1/x", "d1/y", "e1/x"), b"hello world\n"))
    _objects(api, "b2", {f"o-{number}": b"x" * 10 for number in range(4)})


def _jobs(api: Api) -> None:
    _objects(api, "jobs", {f"o-{number:04d}": b"x" * 2000 for number in range(100)})
    _objects(api, "jobs4", {"o": b"x"})
    for bucket in ("jobs2", "jobs3"):
        api.create(bucket)


SETUP: dict[str, Callable[[Api], None]] = {
    "cluster": lambda api: _objects(api, "data", {}),
    "bucket": lambda api: _objects(api, "empty", {}),
    "list-objects": _listed,
    "bucket-props": lambda api: _objects(api, "empty", {}),
    "object": lambda api: _objects(api, "obj", {"ten": b"0123456789"}),
    "jobs": _jobs,
}
"""What an area finds, beside what the areas before it left."""


def missing(exchange: Exchange) -> str:
    """What we lack to be asked this; empty when nothing."""
    text = f"{exchange.name} > {exchange.method} {exchange.target}"
    return next((what for pattern, what in MISSING.items() if re.search(pattern, text)), "")


def reason(exchange: Exchange, difference: str) -> str:
    """Why this difference is meant; empty when it is not."""
    return next((rule.why for rule in RULES if rule.explains(exchange, difference)), "")
