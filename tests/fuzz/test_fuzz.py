"""Hostile input against a live cluster: no 5xx, no hang, no dead process, no leaked descriptor, nothing left behind.

Each kind of input gets an equal share of FUZZ_SECONDS (a few seconds in the normal tests, ten minutes in `make fuzz`).
FUZZ_SEED repeats a run; without it `make fuzz` takes a fresh one and prints it.

Answers with a 5xx that are right and therefore allowed: 501 for what AIStore has and we do not, 507 for a full disk,
and 500 with the tcode ErrBadCksum, which the wire contract asks for when content does not match its claimed checksum.
"""

import contextlib
import http.client
import json
import os
import random
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from harness import hostile
from harness.nodes import descriptors, eventually, files_of, resident_bytes
from harness.wire import Api, RawConnection
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ais.testing import Cluster

SECONDS = float(os.environ.get("FUZZ_SECONDS", "15"))
SEED = int(os.environ.get("FUZZ_SEED", "0" if "FUZZ_SECONDS" not in os.environ else str(random.randrange(1 << 32))))
KINDS = 10
HANG_S = 10.0
CONTENT = bytes(range(256)) * 40

# A fuzzer must not stop the cluster it fuzzes by asking for it in the proper way.
LAWFUL_ENDS = re.compile(rb"shutdown|decommission|rm-unsafe|maintenance|self-initiated|metasync|vote", re.IGNORECASE)


def words(text: str) -> list[str]:
    """A vocabulary written as running text."""
    return text.split()


ACTIONS = words("""
    create-bck destroy-bck set-bprops reset-bprops summary-bck summary-shard index-shard copy-bck etl-bck
    move-bck make-n-copies ec-encode rechunk evict-remote-bck list create-inventory show-inventory
    copy-listrange delete-listrange evict-listrange prefetch-listrange archive promote rename-obj blob-download
    check-lock mpt-upload mpt-complete mpt-abort set-config reset-config reset-stats rotate-logs start stop
    attach detach attach-mp enable-mp detach-mp disable-mp rescan-mp nonsense
""")
PARAMETERS = words("""
    what props uuid jobid regex only_active set-new-custom provider namespace bck_to object_to keep_bck_md bsumm_remote
    presence append_type append_handle severity offset all archpath archmime archregx archmode skip_vc frc latest-ver
    synchronize sln validate-checksum uploads uploadId partNumber readiness prr sys cii apr pid utm etl_name etl_args
    transient mountpath_label gfn tid x u
""")
PATHS = words("""
    /v1/objects/fuzzed/o /v1/objects/fuzzed/new/o /v1/objects/fuzzed /v1/objects /v1/objects/nosuch/o
    /v1/buckets/fuzzed /v1/buckets /v1/buckets/fuzzed/dir /v1/buckets/nosuch /v1/daemon /v1/daemon/set-config
    /v1/cluster /v1/cluster/set-config /v1/cluster/proxy/x /v1/cluster/keepalive /v1/cluster/autoreg /v1/xactions
    /v1/reverse/daemon /v1/reverse/daemon/mountpaths /v1/health /v1 /v1/nonsense /v1/download /v1/sort /v1/etl
    /v1/ml/moss /v1/tokens /metrics /favicon.ico / /ais/fuzzed/o /s3 /s3/fuzzed /s3/fuzzed/o
""")
METHODS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"]

KNOWN_VALUES = st.just("") | st.just("\0")
KNOWN_VALUES |= st.sampled_from(
    words("""
    ais aws true false 0 1 -1 2 smap bmd config node_status log mountpaths disk status qryxstats running_all
    append flush name,size a|b|c|d ais/@#/fuzzed/copy ais/@#/fuzzed/ @# @a#b 18446744073709551616 NaN 1e400
    % ../.. regexp
    """)
)
TEXT = st.one_of(KNOWN_VALUES, st.text(max_size=30))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    words("""
    uuid prefix props flags pagesize continuation_token start_after target time_format checksum type mirror copies
    enabled ec access features ID Kind Bck Buckets name provider namespace cached present log level sid src obj
    template objnames
    """)
)
VALUE = st.one_of(JSON, st.dictionaries(KEYS, JSON, max_size=5), st.dictionaries(KEYS, st.dictionaries(KEYS, JSON)))
MESSAGE = st.fixed_dictionaries({}, optional={"action": st.sampled_from(ACTIONS) | TEXT, "name": TEXT, "value": VALUE})


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A small cluster of its own with one bucket and one object; all of it must be there, unchanged, at the end."""
    print(f"\nFUZZ_SEED={SEED} FUZZ_SECONDS={SECONDS:g}")
    with Cluster(proxies=1, targets=2, mountpaths=1, dir=tmp_path_factory.mktemp("fuzzed")) as running:
        yield running


@pytest.fixture
def ends(victim) -> Iterator[list[str]]:
    """The URLs to fuzz, proxy and target; afterwards every process lives, serves, and holds no descriptor more."""
    api = Api(victim.endpoint)
    restore(api)
    target = api.call("GET", "/v1/objects/fuzzed/o", redirects=False).header("Location").split("/v1/")[0]
    processes = [node.pid for node in victim.nodes]
    before = {pid: descriptors(pid) for pid in processes}
    yield [victim.endpoint, target]
    assert [node.pid for node in victim.nodes if node.alive] == processes
    for node in victim.nodes:
        assert Api(node.url).call("GET", "/v1/health").status == 200
    # Nodes keep a few idle connections to each other; what a client opened must be closed.
    eventually(lambda: all(descriptors(pid) <= before[pid] + 6 for pid in processes), within_s=20)
    mountpaths = [path for node in victim.targets for path in node.mountpaths]
    eventually(lambda: not [path for path in files_of(mountpaths, "wk") if not is_append(path)], within_s=15)
    restore(api)
    assert api.get("fuzzed", "o").body == CONTENT


def restore(api: Api) -> None:
    """The bucket `fuzzed` with the object `o`, whatever lawful requests among the garbage did to them."""
    assert api.create("fuzzed").status in (200, 409)
    assert api.act("PATCH", "/v1/buckets/fuzzed", "reset-bprops").status == 200
    assert api.put("fuzzed", "o", CONTENT).status == 200


def is_append(path: Path) -> bool:
    """Whether a work file belongs to an append that was begun: those are meant to stay for their next part."""
    return path.name.startswith("ap-")


def for_its_share(strategy: st.SearchStrategy, attempt: Callable[..., None]) -> None:
    """Feed examples of `strategy` to `attempt` until this kind's share of the time is over."""
    end = time.monotonic() + SECONDS / KINDS
    round_number = count = 0
    while time.monotonic() < end:

        @seed(SEED + round_number)
        @settings(
            max_examples=200,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(strategy)
        def round_of_examples(example: object) -> None:
            nonlocal count
            if time.monotonic() < end + HANG_S:
                count += 1
                attempt(example)

        round_of_examples()
        round_number += 1
    print(f"{count} examples")


def send(url: str, data: bytes) -> bytes:
    """Write everything, close the sending half, read to the end. Hanging longer than HANG_S is a failure."""
    with RawConnection(url, HANG_S) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(data)
        with contextlib.suppress(OSError):
            connection.socket.shutdown(1)
        try:
            return connection.rest()
        except TimeoutError:
            raise AssertionError(f"no answer and no end of the connection within {HANG_S} s: {data[:2000]!r}") from None


def probe(url: str, data: bytes) -> None:
    """Send what is not a lawful request to stop, and judge the answer."""
    if not LAWFUL_ENDS.search(urllib.parse.unquote_to_bytes(data)):
        judge(data, send(url, data))


def judge(data: bytes, answer: bytes) -> None:
    """Every status line of an answer is one a client's mistake may get."""
    for match in re.finditer(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(?:[A-Za-z0-9-]+:[^\r\n]*\r\n)+\r\n", answer):
        status = int(match[1])
        allowed = status < 500 or status in (501, 507) or (status == 500 and b'"ErrBadCksum"' in answer)
        assert allowed, f"{match[0]!r} {answer[match.end() :][:500]!r} for {data[:2000]!r}"


def request_bytes(method: str, target: str, headers: dict[str, str] | list, body: bytes = b"") -> bytes:
    """A request as bytes; text goes out as UTF-8 whatever it contains."""
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    lines = [f"{method} {target} HTTP/1.1", "Host: fuzz", "Connection: close", *(f"{k}: {v}" for k, v in pairs)]
    if body and not any(key.lower() in ("content-length", "transfer-encoding") for key, _ in pairs):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogatepass") + body


def marked(target: str) -> str:
    """A request target that a target takes for a redirected one."""
    return target + ("&" if "?" in target else "?") + "pid=fuzz&utm=1"


HEADER_NAMES = st.sampled_from(
    words("""
    Range Content-Length Transfer-Encoding Expect Connection Content-Type Accept Host Cookie Authorization User-Agent
    If-Match X-Y Ais-Checksum-Type Ais-Checksum-Value Ais-Custom-Md Ais-Version Ais-Atime Ais-Node-Id Ais-Caller-Id
    Ais-Caller-Name Ais-Blob-Download
    """)
)
HEADER_VALUES = st.one_of(
    TEXT,
    st.sampled_from(["chunked", "100-continue", "gzip, chunked", "5", "-5", "99999999999999999999", "xxhash2", "k=v"]),
    st.text(max_size=3000),
)


CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)), max_size=4)


def cut(data: bytes, places: list[tuple[float, int, bytes]]) -> bytes:
    """With bytes cut out and put in: where (as a share), how many, and what."""
    for place, removed, inserted in places:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + removed :]
    return data


def broken(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes with something cut out or put in at up to four places."""
    return st.builds(cut, whole, CUTS)


def heads() -> st.SearchStrategy[bytes]:
    """Requests with any method, path, headers and body, then broken at up to four places."""
    whole = st.builds(
        request_bytes,
        st.sampled_from(METHODS) | st.text(max_size=5),
        st.sampled_from(PATHS).map(marked) | st.sampled_from(PATHS) | st.text(max_size=40),
        st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=6),
        st.binary(max_size=60),
    )
    return broken(whole)


def test_request_heads(ends: list[str]):
    """Any bytes where a request is expected are answered with a client error or the end of the connection."""

    def attempt(data: bytes) -> None:
        for url in ends:
            probe(url, data)

    for_its_share(heads(), attempt)


def test_pipelined_garbage(ends: list[str]):
    """A good request is answered whatever bytes follow it."""

    def attempt(garbage: bytes) -> None:
        good = b"GET /v1/health HTTP/1.1\r\nHost: fuzz\r\n\r\n"
        for url in ends:
            answer = send(url, good + garbage)
            judge(garbage, answer)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 200 "), (garbage, answer[:300])

    for_its_share(st.binary(max_size=200) | heads(), attempt)


def test_query_strings(ends: list[str]):
    """Known and unknown parameters with any values, raw or encoded, repeated or a hundred of them."""
    pairs = st.lists(st.tuples(st.sampled_from(PARAMETERS) | TEXT, TEXT), max_size=8)
    many = st.integers(90, 130).map(lambda count: [(f"p{number}", "x") for number in range(count)])
    encoded = (pairs | many).map(lambda items: urllib.parse.urlencode(items, errors="surrogatepass"))
    raw = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=" "), max_size=60)

    def attempt(example: tuple[str, str, str]) -> None:
        method, path, query = example
        for url, target in zip(ends, (f"{path}?{query}", marked(f"{path}?{query}")), strict=True):
            data = request_bytes(method, target, {})
            probe(url, data)

    for_its_share(st.tuples(st.sampled_from(METHODS[:6]), st.sampled_from(PATHS), encoded | raw), attempt)


def test_ranges(ends: list[str]):
    """Any Range gets the whole, exactly the part its Content-Range tells, or a refusal."""
    number = st.one_of(st.integers(0, len(CONTENT) + 10).map(str), st.just(""), st.integers().map(str), TEXT)
    spec = st.builds("{}={}-{}".format, st.sampled_from(["bytes", "Bytes", "chars", ""]), number, number)
    several = st.lists(st.tuples(number, number), min_size=2, max_size=5).map(
        lambda parts: "bytes=" + ",".join(f"{first}-{last}" for first, last in parts)
    )
    single_line = (spec | several | TEXT).map(lambda text: re.sub(r"[\r\n\x00]", "", text))

    def attempt(value: str) -> None:
        data = request_bytes("GET", "/v1/objects/fuzzed/o?provider=ais", {"Range": value})
        answer = send(ends[1], data)
        judge(data, answer)
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        assert status in (200, 206, 400, 416), (value, head)
        if status == 200:
            assert body == CONTENT
        if status == 206:
            first, last, size = map(int, re.search(rb"content-range: bytes (\d+)-(\d+)/(\d+)", head, re.I).groups())
            assert size == len(CONTENT)
            assert body == CONTENT[first : last + 1]
        well_formed = re.fullmatch(r"bytes=([0-9]{1,18})-([0-9]{0,18})", value)
        if well_formed and int(well_formed[1]) < len(CONTENT) and int(well_formed[2] or 1 << 60) >= int(well_formed[1]):
            assert (status, first) == (206, int(well_formed[1]))

    for_its_share(single_line, attempt)


def test_json_bodies(ends: list[str]):
    """Control messages of any shape, and JSON that is none, at every path and verb."""
    nested = st.integers(1, 20_000).map(lambda depth: b'{"action":"list","value":' + b"[" * depth)
    texts = st.one_of(
        MESSAGE.map(lambda value: json.dumps(value).encode()),
        JSON.map(lambda value: json.dumps(value).encode()),
        MESSAGE.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
        nested,
        st.binary(max_size=100),
    )

    def attempt(example: tuple[str, str, bytes]) -> None:
        method, path, body = example
        for url, target in zip(ends, (path, marked(path)), strict=True):
            data = request_bytes(method, target, {"Content-Type": "application/json"}, body)
            probe(url, data)

    for_its_share(st.tuples(st.sampled_from(METHODS[:6]), st.sampled_from(PATHS), texts), attempt)


def test_msgpack_bodies(ends: list[str]):
    """msgpack of any shape, whole, cut and broken, at every path and verb."""

    def packed(value: object) -> bytes:
        try:
            return msgpack.packb(value, unicode_errors="surrogatepass")
        except OverflowError:
            return msgpack.packb(str(value), unicode_errors="surrogatepass")

    whole = (JSON | MESSAGE).map(packed)
    cut = st.tuples(whole, st.integers(0, 50)).map(lambda pair: pair[0][: pair[1]])
    bombs = st.sampled_from([b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 5000])
    headers = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}

    def attempt(example: tuple[str, str, bytes]) -> None:
        method, path, body = example
        for url, target in zip(ends, (path, marked(path)), strict=True):
            data = request_bytes(method, target, headers, body)
            probe(url, data)

    for_its_share(st.tuples(st.sampled_from(METHODS[:6]), st.sampled_from(PATHS), whole | cut | bombs), attempt)


S3_PATHS = words(
    "/s3 /s3/ /s3/fuzzed /s3/fuzzed/ /s3/fuzzed/s3/k /fuzzed/s3/k /s3/nosuch/k /s3/fuzzed/a//b/. /s3/UPPER"
)
S3_PARAMETERS = words("""
    acl ais-batch attributes continuation-token cors delete delimiter encoding-type fetch-owner foo key-marker
    legal-hold lifecycle list-type location marker max-keys max-parts max-uploads part-number-marker partNumber policy
    policyStatus prefix publicAccessBlock response-content-type restore start-after tagging uploadId
    upload-id-marker uploads versionId version-id-marker versioning versions website x-id X-Amz-Algorithm
    X-Amz-Credential X-Amz-Date X-Amz-Expires X-Amz-Signature X-Amz-SignedHeaders
""")
S3_HEADERS = words("""
    Authorization Content-Encoding Content-MD5 Content-Type Expect If-Match If-Modified-Since If-None-Match Origin Range
    x-amz-acl x-amz-checksum-algorithm x-amz-checksum-crc32 x-amz-checksum-mode x-amz-checksum-sha256
    x-amz-checksum-type x-amz-content-sha256 x-amz-copy-source x-amz-copy-source-if-match x-amz-copy-source-range
    x-amz-date x-amz-decoded-content-length x-amz-meta-color x-amz-metadata-directive x-amz-mp-object-size
    x-amz-object-attributes x-amz-sdk-checksum-algorithm x-amz-security-token x-amz-tagging x-amz-trailer Ais-S3-Via
""")
S3_VALUES = st.sampled_from(
    words("""
    1 0 -1 2 10001 99999999999 * "x" STREAMING-UNSIGNED-PAYLOAD-TRAILER STREAMING-AWS4-HMAC-SHA256-PAYLOAD
    UNSIGNED-PAYLOAD CRC32 SHA256 COMPOSITE REPLACE COPY /fuzzed/o fuzzed/o?versionId=null bytes=0-1 AAAAAA==
    x-amz-checksum-crc32 private a=1&b=2 ETag,ObjectParts aws-chunked null url AWS4-HMAC-SHA256 20261127T000000Z
    """)
)
S3_VALUES |= TEXT
S3_DOCUMENTS = st.sampled_from(
    words("""
    Delete CompleteMultipartUpload Tagging VersioningConfiguration LifecycleConfiguration CORSConfiguration
    AccessControlPolicy PublicAccessBlockConfiguration OwnershipControls CreateBucketConfiguration
    """)
)
S3_ELEMENTS = st.sampled_from(
    words("Object Key VersionId Part PartNumber ETag Quiet TagSet Tag Rule Status Days Prefix")
)


def xml() -> st.SearchStrategy[bytes]:
    """Documents of S3's names in any nesting, with any text."""
    text = TEXT.map(lambda value: re.sub(r"[<&]", "", value))
    inside = st.recursive(
        text,
        lambda inner: st.lists(st.tuples(S3_ELEMENTS, inner), max_size=4).map(
            lambda children: "".join(f"<{name}>{content}</{name}>" for name, content in children)
        ),
        max_leaves=10,
    )
    whole = st.builds("<{0}>{1}</{0}>".format, S3_DOCUMENTS, inside)
    return whole.map(lambda value: value.encode("utf-8", "surrogatepass"))


def aws_chunks() -> st.SearchStrategy[bytes]:
    """Bodies that look like `aws-chunked`, right and wrong."""
    line = st.builds("{:x};chunk-signature={}".format, st.integers(0, 40), st.text("0123456789abcdef", max_size=64))
    chunk = st.tuples(line | st.integers(0, 40).map("{:x}".format), st.binary(max_size=40))
    trailer = st.sampled_from(
        [b"", b"x-amz-checksum-crc32:AAAAAA==\r\n", b"x-amz-trailer-signature:0\r\n", b"no colon\r\n"]
    )

    def framed(chunks: list[tuple[str, bytes]], end: bytes) -> bytes:
        return b"".join(b"%b\r\n%b\r\n" % (head.encode(), data) for head, data in chunks) + b"0\r\n" + end + b"\r\n"

    return st.builds(framed, st.lists(chunk, max_size=4), trailer)


S3_FORM = (
    b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk${filename}\r\n'
    b'--b\r\nContent-Disposition: form-data; name="success_action_status"\r\n\r\n201\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--b--\r\n'
)


def test_s3_forms(ends: list[str]):
    """Browser forms, broken at some places, with any content type."""
    kinds = st.just("multipart/form-data; boundary=b") | TEXT.map(lambda text: re.sub(r"[\r\n\0]", "", text))

    def attempt(example: tuple[str, bytes]) -> None:
        kind, body = example
        for url in ends:
            probe(url, request_bytes("POST", "/s3/fuzzed", {"Content-Type": kind}, body))

    for_its_share(st.tuples(kinds, broken(st.just(S3_FORM))), attempt)


def test_s3_requests(ends: list[str]):
    """Sub-resources, headers and bodies of S3, in combinations no client sends, at a gateway and at a target."""
    queries = st.lists(st.tuples(st.sampled_from(S3_PARAMETERS), S3_VALUES), max_size=4)
    headers = st.lists(st.tuples(st.sampled_from(S3_HEADERS), S3_VALUES), max_size=5)
    bodies = st.just(b"") | xml() | aws_chunks() | st.binary(max_size=100) | st.just(b"x" * 70_000)

    def attempt(example: tuple[str, str, list[tuple[str, str]], list[tuple[str, str]], bytes]) -> None:
        method, path, query, lines, body = example
        target = f"{path}?{urllib.parse.urlencode(query, errors='surrogatepass')}" if query else path
        for url in ends:
            probe(url, request_bytes(method, target, lines, body))

    for_its_share(st.tuples(st.sampled_from(METHODS), st.sampled_from(S3_PATHS), queries, headers, bodies), attempt)


JOBS = {
    "archive": ("PUT", words("archname tobck mime objnames template isbn aate coer")),
    "copy-bck": ("POST", words("prefix prepend ext dry_run force latest-ver synchronize num-workers coer id")),
    "copy-listrange": ("POST", words("tobck objnames template prepend ext dry_run num-workers coer id")),
    "delete-listrange": ("DELETE", words("objnames template num-workers coer non-recurs")),
    "evict-listrange": ("DELETE", words("objnames template num-workers coer")),
    "prefetch-listrange": ("POST", words("objnames template num-workers latest-ver blob-threshold coer")),
    "index-shard": ("POST", words("prefix num-workers skip-verify non-recurs")),
    "summary-shard": ("GET", words("uuid prefix")),
    "summary-bck": ("GET", words("uuid prefix cached present")),
    "rechunk": ("POST", words("objsize-limit chunk-size prefix sync-remote")),
    "make-n-copies": ("POST", []),
    "ec-encode": ("POST", words("data_slices parity_slices enabled")),
    "start": ("", words("ID Kind DaemonID Bck Buckets Timeout Force Flags")),
    "stop": ("", words("ID Kind DaemonID Bck Buckets Force")),
    "promote": ("OBJECT", words("trg src obj rcr ovw notfshare delsrc tid")),
    "/v1/sort": ("POST", words("input_bck output_bck input_format output_format input_extension output_extension "
                               "output_shard_size algorithm ekm_file ekm_file_sep max_mem_usage dsorter_type dry_run "
                               "extract_concurrency_max_limit config description")),
    "/v1/download": ("POST", words("id type bck link links template objname objects timeout limits progress_interval")),
    "/v1/ml/moss/fuzzed": ("GET", words("in mime onob coer strm")),
}  # fmt: skip
"""Actions of jobs with the fields of their values, or paths with those of their bodies."""
JOB_VALUES = JSON | st.sampled_from(
    [
        {"name": "fuzzed", "provider": "ais"}, [{"objname": "o"}], [{"objname": "x.tar", "archpath": "../a"}],
        {"template": "x-{0..3}"}, {"template": "{0..999999999999}"}, {"kind": "shuffle", "seed": "x"}, "x-{0..9}.tar",
        {"objnames": ["x.tar"]}, ["o", ""], "../../x.tar", "http://127.0.0.1:1/x", "single", ".tar", "x.tar",
        "lru", "1KiB", 1 << 70, {"max": -1}, {"duplicated_records": "abort"}, "", "/etc/passwd", "o", -1,
        "http://[::1]:1/{0..3}", "rechunk",
    ]
)  # fmt: skip


def test_job_messages(ends: list[str]):
    """What starts jobs, with its own fields and any values: refused, or a job that ends."""

    def filled(name: str) -> st.SearchStrategy[tuple[str, dict[str, object]]]:
        keys = st.sampled_from(JOBS[name][1] or ["x"])
        return st.tuples(st.just(name), st.dictionaries(keys, JOB_VALUES, max_size=8))

    def attempt(example: tuple[str, dict[str, object]]) -> None:
        name, value = example
        method, target = JOBS[name][0], name
        if not name.startswith("/"):
            target = {"": "/v1/cluster", "OBJECT": "/v1/objects/fuzzed"}.get(method, "/v1/buckets/fuzzed")
            method = {"": "PUT", "OBJECT": "POST"}.get(method, method)
        if name == "copy-bck":
            target += "?bck_to=ais/@%23/fuzzedcopy/"
        body = value if name.startswith("/") else {"action": name, "name": "", "value": value}
        for url, path in zip(ends, (target, marked(target)), strict=True):
            probe(url, request_bytes(method, path, {"Content-Type": "application/json"}, json.dumps(body).encode()))

    for_its_share(st.sampled_from(sorted(JOBS)).flatmap(filled), attempt)


def test_archives(ends: list[str], victim):
    """Hostile, truncated, flipped, nested archives and bombs, read in every way, appended to, indexed: a clear error,
    memory that stays, and no file anywhere but in the bucket."""
    api = Api(victim.endpoint)
    seeds = {extension: hostile.seeds(extension) for extension in hostile.EXTENSIONS}
    before = {node.id: resident_bytes(node.pid) for node in victim.nodes}

    def attempt(example: tuple[str, int, float, list[tuple[float, int, bytes]]]) -> None:
        extension, number, kept, cuts = example
        whole = seeds[extension][number % len(seeds[extension])]
        content = cut(whole[: int(len(whole) * kept)], cuts)
        name = f"hostile.{extension}"
        path = f"/v1/objects/fuzzed/{name}"
        assert api.put("fuzzed", name, content).status == 200
        asked = [
            ("POST", "/v1/buckets/fuzzed", {}, b'{"action":"index-shard","value":{"prefix":"hostile"}}'),
            *(("GET", path, {"archpath": member}, b"") for member in ("a", "nosuch", "bomb", "../../escaped")),
            ("GET", path, {"archregx": "", "archmode": "prefix"}, b""),
            ("GET", "/v1/buckets/fuzzed", {}, b'{"action":"list","value":{"flags":"8"}}'),
            ("PUT", path, {"archpath": "new"}, b"more"),
            ("PUT", path, {"archpath": "../../escaped"}, b"more"),
            ("GET", "/v1/ml/moss/fuzzed/x/y/1", {}, batch_of(name)),
        ]
        for method, target, query, body in asked:
            # damage that is found on the way breaks an answer off
            with contextlib.suppress(http.client.IncompleteRead):
                answer = api.call(method, target, query, body=body, headers={"Ais-Pine": "1"})
                assert answer.status < 500, (answer.status, answer.body[:300], method, target, query)

    kept = st.just(1.0) | st.floats(0, 1)
    for_its_share(st.tuples(st.sampled_from(hostile.EXTENSIONS), st.integers(0, 20), kept, CUTS), attempt)
    eventually(
        lambda: all(resident_bytes(node.pid) < before[node.id] + (300 << 20) for node in victim.nodes), within_s=20
    )
    roots = [path for node in victim.targets for path in node.mountpaths]
    assert not [path for root in roots for path in root.parent.rglob("*escaped*")]
    assert not Path("/etc/escaped").exists()


def batch_of(name: str) -> bytes:
    """A get-batch of members of a shard."""
    entries = [{"objname": name, "archpath": member} for member in ("a", "d/b.jpg", "bomb", "../../escaped")]
    return json.dumps({"in": entries, "mime": ".tar", "coer": True, "strm": True}).encode()
