"""The sections of the cluster configuration (wire contract §14): names, types, defaults, ranges, one line each.

Buckets take their own copy of `Checksum`, `Mirror`, `EC`, `Chunks`, `LRU`, `RateLimit`, `WritePolicy` and `Versioning`
when they are created. What a node needs to know about itself only is in `ais.config.local`.
"""

import contextlib
import os
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from ais.base.units import Duration, Size
from ais.config import receivers
from ais.config.setting import Section, setting

_RECEIVER = re.compile(r"[a-z0-9-]{1,32}")
_CLUSTER_URL = re.compile(r"https?://([A-Za-z0-9._-]{3,128}@)?[A-Za-z0-9.:\[\]-]{1,300}")
_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")

ChecksumKind = Literal["none", "xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512"]
Compression = Literal["never", "always"]
Policy = Literal["", "immediate", "delayed", "never"]
LogLevel = Literal["0", "1", "2", "3", "4", "5"]
Reaction = Literal["ignore", "warn", "abort"]

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
SLICES_MAX = 32

CompressionField = Annotated[Compression, setting("Compress what is sent to other targets.", pending=True)]
BundleField = Annotated[int, setting("Connections per destination.", ge=0, le=16, pending=True)]
BurstField = Annotated[int, setting("Objects queued before the sender waits.", ge=0, pending=True)]


class Checksum(Section, frozen=True):
    """Which checksum objects get and when it is verified."""

    type: Annotated[ChecksumKind, setting("Kind computed for every new object.")] = "xxhash2"
    validate_cold_get: Annotated[bool, setting("Compare what is read from a remote backend with its MD5.")] = False
    validate_warm_get: Annotated[bool, setting("Verify an object's content on every GET.")] = False
    validate_obj_move: Annotated[bool, setting("Verify objects that move between targets.", pending=True)] = False
    enable_read_range: Annotated[bool, setting("Answer range reads with the checksum of the range.")] = False


class Mirror(Section, frozen=True):
    """Copies of each object on several mountpaths of its target."""

    copies: Annotated[int, setting("Copies per object, the first included.", ge=1, le=32)] = 2
    burst_buffer: Annotated[int, setting("Objects that may wait for copies before all are looked at.", ge=0)] = 512
    enabled: Annotated[bool, setting("Make copies of new objects.")] = False


class EC(Section, frozen=True):
    """Erasure coding over several targets."""

    objsize_limit: Annotated[int, setting("Smaller objects (bytes) are replicated instead; -1: all are.", ge=-1)] = (
        262144
    )
    compression: CompressionField = "never"
    bundle_multiplier: BundleField = 2
    burst_buffer: Annotated[int, setting("Objects that may wait to be coded before all are looked at.", ge=0)] = 512
    data_slices: Annotated[int, setting("Data slices.", ge=1, le=SLICES_MAX)] = 2
    parity_slices: Annotated[int, setting("Parity slices.", ge=1, le=SLICES_MAX)] = 2
    enabled: Annotated[bool, setting("Erasure-code new objects.")] = False
    disk_only: Annotated[bool, setting("Encode through disk, not memory.", pending=True)] = False


class Chunks(Section, frozen=True):
    """Large objects stored as several files."""

    objsize_limit: Annotated[Size, setting("Chunk objects of this size and above; 0: off.", ge=0, pending=True)] = Size(
        0
    )
    max_monolithic_size: Annotated[Size, setting("Objects above are always chunked.", ge=GIB, pending=True)] = Size(TIB)
    chunk_size: Annotated[Size, setting("Size of one chunk.", ge=0, pending=True)] = Size(GIB)
    checkpoint_every: Annotated[int, setting("Chunks between manifest checkpoints; 0: none.", ge=0, pending=True)] = 0
    flags: Annotated[int, setting("Bit mask, reserved.", ge=0, pending=True)] = 0


class LRU(Section, frozen=True):
    """Eviction of objects that a remote backend also has."""

    dont_evict_time: Annotated[Duration, setting("Objects used within this time stay.", ge=0)] = Duration(7200)
    capacity_upd_time: Annotated[
        Duration, setting("How often capacity is looked at; every 10s above space.lowwm.", ge=1)
    ] = Duration(600)
    batch_size: Annotated[int, setting("Objects evicted in one go.", ge=0)] = 32768
    enabled: Annotated[bool, setting("Evict when space runs low; without a backend nothing ever is.")] = True


def per_op(text: str) -> dict[str, int]:
    """`get:5000 delete:1000` by verb. Raise `ValueError`."""
    found: dict[str, int] = {}
    for pair in text.replace(",", " ").split():
        verb, _, count = pair.partition(":")
        if verb.lower() not in ("get", "put", "delete") or not count.isdigit():
            raise ValueError(f'per_op_max_tokens: "{pair}" is not get:, put: or delete: and a number')
        found[verb.lower()] = int(count)
    return found


class BackendRate(Section, frozen=True):
    """Requests to a remote backend, of the whole cluster: each target has its share."""

    interval: Annotated[Duration, setting("Period that `max_tokens` counts for.", ge=1)] = Duration(60)
    max_tokens: Annotated[int, setting("Requests per period; 0: any number.", ge=0)] = 1000
    per_op_max_tokens: Annotated[str, setting("Per-verb limits, like `get:5000 delete:1000`.")] = ""
    enabled: Annotated[bool, setting("Limit the rate; slower while the backend says it is overloaded.")] = False
    num_retries: Annotated[int, setting("Retries when the backend says to slow down, if enabled.", ge=0, le=20)] = 3

    def check(self) -> None:
        """See `Section`."""
        per_op(self.per_op_max_tokens)


class FrontendRate(Section, frozen=True):
    """Requests of clients for objects, by verb, at all gateways; who goes straight to targets is not counted."""

    interval: Annotated[Duration, setting("Period that `max_tokens` counts for.", ge=1)] = Duration(60)
    max_tokens: Annotated[int, setting("Requests per period and verb; 0: any number.", ge=0)] = 1000
    per_op_max_tokens: Annotated[str, setting("Per-verb limits, like `get:5000 delete:1000`.")] = ""
    enabled: Annotated[bool, setting("Limit the rate of GET, PUT and DELETE: beyond it 429, over S3 503.")] = False
    burst_size: Annotated[int, setting("Requests allowed at once above the rate, at each gateway.", ge=0)] = 375

    def check_asked(self) -> None:
        """See `Section`: any text was kept while it had no effect."""
        per_op(self.per_op_max_tokens)

    def tokens(self, verb: str) -> int:
        """Requests per period of GET, PUT or DELETE; 0: any number."""
        own: dict[str, int] = {}
        with contextlib.suppress(ValueError):
            own = per_op(self.per_op_max_tokens)
        return own.get(verb.lower(), self.max_tokens)


class RateLimit(Section, frozen=True):
    """Request rates per bucket."""

    backend: BackendRate = BackendRate()
    frontend: FrontendRate = FrontendRate()


class WritePolicy(Section, frozen=True):
    """When data and metadata of an object reach the disk."""

    data: Annotated[Policy, setting("Empty: immediate.", pending=True)] = "immediate"
    md: Annotated[Policy, setting("Empty: immediate.", pending=True)] = "immediate"


class Versioning(Section, frozen=True):
    """Object versions."""

    enabled: Annotated[bool, setting("Count an object's version up on each overwrite.")] = True
    validate_warm_get: Annotated[bool, setting("Compare with the remote backend on GET.")] = False
    synchronize: Annotated[bool, setting("The same; jobs that synchronize compare, too.")] = False


class ExtraAWS(Section, frozen=True):
    """Amazon S3 behind a bucket."""

    cloud_region: Annotated[str, setting("Region of the bucket.")] = ""
    endpoint: Annotated[str, setting("Endpoint URL instead of Amazon's.")] = ""
    profile: Annotated[str, setting("Credentials profile.")] = ""
    max_pagesize: Annotated[int, setting("Names per listing page, at most 1000; 0: 1000.", ge=0)] = 0
    multipart_size: Annotated[Size, setting("Larger objects are sent in parts of this size; 0: 16MiB.", ge=0)] = Size(0)

    def check_asked(self) -> None:
        """See `Section`."""
        _check_url("endpoint", self.endpoint)


class ExtraGCP(Section, frozen=True):
    """Google Cloud Storage behind a bucket."""

    application_creds: Annotated[str, setting("Path of a credentials file on the targets.")] = ""

    def check_asked(self) -> None:
        """See `Section`."""
        path = self.application_creds
        if path and (not os.path.isabs(path) or os.path.normpath(path) != path):
            raise ValueError(f'application_creds "{path}" is not an absolute path without ".", ".." and "//"')


class ExtraOCI(Section, frozen=True):
    """Oracle object storage behind a bucket."""

    region: Annotated[str, setting("Region.", pending=True)] = ""


class ExtraHTTP(Section, frozen=True):
    """A web server behind a bucket."""

    original_url: Annotated[str, setting("URL in front of the names of the bucket's objects.")] = ""

    def check_asked(self) -> None:
        """See `Section`."""
        _check_url("original_url", self.original_url)


def _check_url(name: str, url: str) -> None:
    """Raise `ValueError` unless paths can follow a URL, and all who see it may."""
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} is no URL such as https://host/path")
    if "@" in parts.netloc:
        raise ValueError(f"{name} has a user or a password, which all who see the bucket would see")
    if "?" in url or "#" in url:
        raise ValueError(f"{name} has a query or a fragment: names follow it")


class Extra(Section, frozen=True):
    """Bucket properties of one provider only (buckets have them, the cluster configuration does not)."""

    aws: ExtraAWS = ExtraAWS()
    gcp: ExtraGCP = ExtraGCP()
    oci: ExtraOCI = ExtraOCI()
    http: ExtraHTTP = ExtraHTTP()
    custom: Annotated[str, setting("Free text of the bucket's owner.")] = ""


class Tracing(Section, frozen=True):
    """Distributed tracing."""

    exporter_endpoint: Annotated[str, setting("OTLP endpoint.", pending=True)] = ""
    service_name_prefix: Annotated[str, setting("Prefix of the service name.", pending=True)] = ""
    attributes: Annotated[dict[str, str], setting("Attributes added to every trace.", pending=True)] = msgspec.field(
        default_factory=dict
    )
    sampler_probability: Annotated[str, setting("Share of requests traced, 0.0 to 1.0.", pending=True)] = "1.0"
    enabled: Annotated[bool, setting("Trace requests.", pending=True)] = False
    skip_verify: Annotated[bool, setting("Do not verify the exporter's certificate.", pending=True)] = False


class DistributedSort(Section, frozen=True):
    """Defaults of distributed sort jobs."""

    duplicated_records: Annotated[Reaction, setting("What to do with duplicate records.")] = "ignore"
    missing_shards: Annotated[Reaction, setting("What to do when a shard is missing.")] = "ignore"
    ekm_malformed_line: Annotated[Reaction, setting("What to do with a bad line of a key map.")] = "abort"
    ekm_missing_key: Annotated[Reaction, setting("What to do with a key that no map names.")] = "abort"
    default_max_mem_usage: Annotated[str, setting("Memory a job may use: a share or a size; at most 256 MiB are.")] = (
        "80%"
    )
    call_timeout: Annotated[Duration, setting("Longest wait for another target.", ge=1)] = Duration(600)
    dsorter_mem_threshold: Annotated[str, setting("Memory from which shards are kept in memory.", pending=True)] = (
        "100GB"
    )
    compression: CompressionField = "never"
    bundle_multiplier: BundleField = 4
    burst_buffer: BurstField = 512


class XactionStreams(Section, frozen=True):
    """How a multi-target job sends objects."""

    compression: CompressionField = "never"
    bundle_multiplier: BundleField = 2
    burst_buffer: BurstField = 512


class ListObjects(Section, frozen=True):
    """Listing."""

    compression: CompressionField = "never"
    bundle_multiplier: BundleField = 1
    burst_buffer: BurstField = 32
    walk_buffer: Annotated[int, setting("Names read ahead of the page.", ge=1, pending=True)] = 128
    idle_time: Annotated[Duration, setting("A paused listing is dropped after this time.", ge=1)] = Duration(20)
    quiescent: Annotated[Duration, setting("Quiet time before a listing counts as finished.", ge=1, pending=True)] = (
        Duration(5)
    )


class KeepaliveTracker(Section, frozen=True):
    """How one kind of node is watched."""

    name: Annotated[Literal["heartbeat", "average"], setting("Method; both mean heartbeats here.")] = "heartbeat"
    interval: Annotated[Duration, setting("Time between heartbeats.", ge=0.05, le=600)] = Duration(10)
    factor: Annotated[int, setting("A node silent for interval x factor is asked again, then absent.", ge=1, le=64)] = 3


class Keepalive(Section, frozen=True):
    """Heartbeats between the primary and the other nodes."""

    proxy: KeepaliveTracker = KeepaliveTracker()
    target: KeepaliveTracker = KeepaliveTracker()
    silent_targets: Annotated[
        Literal["away", "remove"],
        setting(
            "What becomes of a target that left or does not answer. `away`: it keeps what it owns, requests for that"
            " get 503 until it returns or is given up; `remove`: others own it at once, as with AIStore."
        ),
    ] = "away"
    num_retries: Annotated[int, setting("Questions to a silent node before it counts as absent.", ge=1, le=64)] = 3
    retry_factor: Annotated[int, setting("Growth of the wait between these questions.", ge=1, le=64, pending=True)] = 4


class Rebalance(Section, frozen=True):
    """Moving objects when targets come and go."""

    dest_retry_time: Annotated[Duration, setting("Longest wait for a receiver.", ge=1, pending=True)] = Duration(120)
    enabled: Annotated[bool, setting("Rebalance by itself on membership changes.", pending=True)] = True
    compression: CompressionField = "never"
    bundle_multiplier: BundleField = 2
    burst_buffer: BurstField = 1024


class Resilver(Section, frozen=True):
    """Moving objects when mountpaths come and go."""

    enabled: Annotated[bool, setting("Resilver by itself on mountpath changes.")] = True


class Log(Section, frozen=True):
    """Logs of a node."""

    level: Annotated[LogLevel, setting("`0`-`2`: errors and warnings, `3`: events, `4`, `5`: every request.")] = "3"
    max_size: Annotated[Size, setting("A log file is rotated at this size.", ge=1 << 12)] = Size(64 * MIB)
    max_total: Annotated[Size, setting("Oldest files go when all together are larger.", ge=1 << 13)] = Size(512 * MIB)
    flush_time: Annotated[Duration, setting("Lines are written at once; the value is ignored.", ge=0, pending=True)] = (
        Duration(60)
    )
    stats_time: Annotated[Duration, setting("How often statistics go to the log; 0: never.", ge=0)] = Duration(180)
    to_stderr: Annotated[bool, setting("Write readable lines to standard error, no file.", restart=True)] = False

    def check(self) -> None:
        if self.max_total < self.max_size:
            raise ValueError(f"max_total={self.max_total} is below max_size={self.max_size}")


class GetBatch(Section, frozen=True):
    """Many objects in one answer."""

    compression: CompressionField = "never"
    bundle_multiplier: BundleField = 2
    burst_buffer: BurstField = 512
    max_wait: Annotated[Duration, setting("Longest wait for another target.", ge=1, pending=True)] = Duration(20)
    warmup_workers: Annotated[int, setting("Read-ahead workers; -1: off.", ge=-1, le=64, pending=True)] = -1
    max_soft_errs: Annotated[
        int, setting("Failed entries per request that goes on; missing ones do not count.", ge=0)
    ] = 8
    max_gfn: Annotated[int, setting("Objects fetched from neighbours per request.", ge=0, pending=True)] = 5


class Space(Section, frozen=True):
    """Watermarks of used space, in percent of a mountpath's file system."""

    cleanupwm: Annotated[int, setting("Clean up deleted data above.", ge=0, le=100, pending=True)] = 65
    lowwm: Annotated[int, setting("Eviction goes on down to here.", ge=0, le=100)] = 75
    highwm: Annotated[int, setting("A cleanup and an eviction start by themselves above.", ge=0, le=100)] = 90
    out_of_space: Annotated[int, setting("Writes are refused (507) above.", ge=0, le=100)] = 95
    batch_size: Annotated[int, setting("Files removed in one go.", ge=0, pending=True)] = 32768
    dont_cleanup_time: Annotated[Duration, setting("Younger files stay.", ge=0)] = Duration(1800)

    def check(self) -> None:
        marks = (self.cleanupwm, self.lowwm, self.highwm, self.out_of_space)
        if list(marks) != sorted(marks):
            raise ValueError("expected cleanupwm <= lowwm <= highwm <= out_of_space")


class Transport(Section, frozen=True):
    """Streams of objects between targets."""

    max_header: Annotated[int, setting("Largest object header (bytes).", ge=512, le=131072, pending=True)] = 4096
    burst_buffer: BurstField = 1024
    idle_teardown: Annotated[Duration, setting("Idle streams are closed after.", ge=1, pending=True)] = Duration(4)
    quiescent: Annotated[Duration, setting("Quiet time before a stage counts as finished.", ge=1, pending=True)] = (
        Duration(10)
    )
    lz4_block: Annotated[Size, setting("LZ4 block size.", ge=65536, le=4 * MIB, pending=True)] = Size(262144)
    lz4_frame_checksum: Annotated[bool, setting("LZ4 frame checksums.", pending=True)] = False


class DiskUtilization(Section, frozen=True):
    """When disks count as busy, in percent of time."""

    disk_util_low_wm: Annotated[int, setting("Not busy below.", ge=0, le=100, pending=True)] = 20
    disk_util_high_wm: Annotated[int, setting("Jobs slow down above.", ge=0, le=100, pending=True)] = 80
    disk_util_max_wm: Annotated[int, setting("Jobs nearly stop above.", ge=0, le=100, pending=True)] = 95
    iostat_time_long: Annotated[Duration, setting("Sampling interval when calm.", ge=0.01, pending=True)] = Duration(2)
    iostat_time_short: Annotated[Duration, setting("Sampling interval when busy.", ge=0.01, pending=True)] = Duration(
        0.1
    )
    iostat_time_smooth: Annotated[Duration, setting("Window of averages; 0: default.", ge=0, pending=True)] = Duration(
        0
    )

    def check(self) -> None:
        if not self.disk_util_low_wm <= self.disk_util_high_wm <= self.disk_util_max_wm:
            raise ValueError("expected disk_util_low_wm <= disk_util_high_wm <= disk_util_max_wm")


class FSHC(Section, frozen=True):
    """Checking a mountpath after I/O errors."""

    test_files: Annotated[int, setting("Files to read and write in a check.", ge=1, le=1024)] = 4
    error_limit: Annotated[int, setting("Failed checks in a row that disable a mountpath.", ge=1)] = 2
    io_err_limit: Annotated[int, setting("I/O errors that start a check.", ge=1, pending=True)] = 10
    io_err_time: Annotated[Duration, setting("Time over which they are counted.", ge=1, pending=True)] = Duration(10)
    enabled: Annotated[bool, setting("Check mountpaths.")] = True


class Periodic(Section, frozen=True):
    """What happens at intervals."""

    stats_time: Annotated[Duration, setting("Statistics, capacity and disk load are refreshed.", ge=0.1)] = Duration(10)
    retry_sync_time: Annotated[
        Duration, setting("Metadata is sent again to a node that missed it.", ge=0.1, pending=True)
    ] = Duration(2)
    notif_time: Annotated[Duration, setting("Progress of jobs is reported.", ge=0.1, pending=True)] = Duration(30)


class Client(Section, frozen=True):
    """Timeouts of calls between nodes."""

    client_timeout: Annotated[Duration, setting("Ordinary calls.", ge=1)] = Duration(10)
    client_long_timeout: Annotated[Duration, setting("Calls that carry objects.", ge=1)] = Duration(300)
    list_timeout: Annotated[Duration, setting("One page of a listing.", ge=1)] = Duration(300)


class Downloader(Section, frozen=True):
    """Download jobs."""

    timeout: Annotated[Duration, setting("Longest that one attempt at one object may take.", ge=1)] = Duration(3600)


class AuthSignature(Section, frozen=True):
    """How tokens are signed."""

    key: Annotated[str, setting("Secret (at least 16 bytes) or public key in PEM; never shown.")] = ""
    method: Annotated[str, setting("`hmac` or `rsa`; empty: `hmac`.")] = ""

    def check(self) -> None:
        if self.method.lower() not in ("", "hmac", "rsa"):
            raise ValueError(f'signature.method="{self.method}" is unknown: must be one of [hmac, rsa]')


class AuthClaims(Section, frozen=True):
    """What a token must claim."""

    aud: Annotated[tuple[str, ...], setting("Accepted audiences; empty: any.")] = ()


class JWKSCache(Section, frozen=True):
    """Keys of token issuers kept in memory."""

    min_rotation_refresh: Annotated[
        Duration, setting("Shortest time between fetches that tokens with unknown keys cause; 0: 10 s.", ge=0)
    ] = Duration(0)
    min_background_refresh: Annotated[Duration, setting("Keys are fetched again after; 0: 15 minutes.", ge=0)] = (
        Duration(0)
    )


class AuthOIDC(Section, frozen=True):
    """Token issuers found by OpenID Connect discovery."""

    allowed_iss: Annotated[
        tuple[str, ...],
        setting("Accepted issuers (`https://`; of this machine `http://` too); `signature.key` is empty then."),
    ] = ()
    issuer_ca_bundle: Annotated[str, setting("CA file for their certificates; empty: the system's.")] = ""
    jwks_cache: JWKSCache = JWKSCache()

    def check(self) -> None:
        for issuer in self.allowed_iss:
            parts = urlsplit(issuer)
            is_here = parts.hostname in ("127.0.0.1", "localhost", "::1")
            if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_here)):
                raise ValueError(f'oidc.allowed_iss="{issuer}": expected an https:// address')
            if parts.query or parts.fragment or parts.username:
                raise ValueError(f'oidc.allowed_iss="{issuer}": an issuer has no query, fragment or user')


class AuthVault(Section, frozen=True):
    """Vault's transit engine, for SSE-KMS with a key ID."""

    url: Annotated[
        str, setting("Its address (`https://`; of this machine `http://` too); empty: the cluster's own keys.")
    ] = ""
    mount: Annotated[str, setting("Where the engine is mounted.")] = "transit"
    namespace: Annotated[str, setting("Vault namespace.")] = ""
    token_file: Annotated[
        str, setting("File with a token on each target, read at each use (as Vault Agent writes it).")
    ] = ""
    ca_bundle: Annotated[str, setting("CA file for its certificate; empty: the system's.")] = ""

    def check(self) -> None:
        if not self.url:
            return
        parts = urlsplit(self.url)
        is_here = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_here)):
            raise ValueError(f'vault.url="{self.url}": expected an https:// address')
        if parts.query or parts.fragment or parts.username:
            raise ValueError(f'vault.url="{self.url}": an address without query, fragment or user is expected')
        if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", self.mount):
            raise ValueError(f'vault.mount="{self.mount}": expected a path of letters, digits, "_", "." and "-"')
        if not self.token_file.startswith("/"):
            raise ValueError("vault.url needs vault.token_file, an absolute path")


class AuthIntraCluster(Section, frozen=True):
    """Authentication between nodes."""

    node_join_secret_path: Annotated[
        str, setting("File (of its owner only) with the secret that nodes sign their requests with.", restart=True)
    ] = ""
    ttl: Annotated[Duration, setting("Life of a signing key; 0: for ever.", ge=0, pending=True)] = Duration(0)
    nonce_window: Annotated[Duration, setting("Clock difference tolerated.", ge=0, le=600, pending=True)] = Duration(60)
    rotation_grace: Annotated[
        Duration,
        setting("How long the key before is good when a node's key or the join secret was replaced.", ge=1, le=3600),
    ] = Duration(60)
    request_auth: Annotated[bool, setting("Sign redirects.", pending=True)] = False


class Auth(Section, frozen=True):
    """Authentication of clients and nodes."""

    enabled: Annotated[
        bool,
        setting(
            "S3 requests must be signed with an access key of this cluster, native ones with an administrator's (or"
            " have a token); false: any key or none is accepted."
        ),
    ] = False
    client_auth_required: Annotated[
        bool, setting("Refuse requests without a valid token; needs `signature` and nodes with a join secret.")
    ] = False
    signature: AuthSignature = AuthSignature()
    required_claims: AuthClaims = AuthClaims()
    oidc: AuthOIDC = AuthOIDC()
    vault: AuthVault = AuthVault()
    intra_cluster: AuthIntraCluster = AuthIntraCluster()

    @property
    def is_closed(self) -> bool:
        """Whether clients must say who they are: by a key or a token, natively by a token or an administrator's key."""
        return self.enabled or self.client_auth_required

    def check(self) -> None:
        if self.signature.key and self.oidc.allowed_iss:
            raise ValueError("signature.key and oidc.allowed_iss exclude each other: whose tokens shall be taken?")
        if self.client_auth_required and not (self.signature.key or self.oidc.allowed_iss):
            raise ValueError(
                "client_auth_required=true needs auth.signature.key or auth.oidc.allowed_iss: who else could verify a"
                " token?"
            )
        if self.client_auth_required and self.signature.key and len(self.signature.key.encode()) < 16:
            raise ValueError("signature.key is too short: a secret that signs tokens has at least 16 bytes")


class ProxyURLs(Section, frozen=True):
    """Where a starting node looks for the primary."""

    primary_url: Annotated[str, setting("The primary, at first start.", restart=True)] = ""
    original_url: Annotated[str, setting("The proxy the cluster was created with.", restart=True)] = ""
    discovery_url: Annotated[str, setting("Any proxy, asked when the primary does not answer.", restart=True)] = ""
    non_electable: Annotated[bool, setting("This proxy never becomes primary.", restart=True)] = False


class L4(Section, frozen=True):
    """Sockets."""

    proto: Annotated[Literal["tcp"], setting("Transport protocol.")] = "tcp"
    sndrcv_buf_size: Annotated[int, setting("Socket buffers in bytes; 0: the system's choice.", ge=0, pending=True)] = (
        131072
    )


class HTTP(Section, frozen=True):
    """HTTP and TLS, on every network."""

    server_crt: Annotated[str, setting("Certificate file (PEM, with its chain).", restart=True)] = ""
    server_key: Annotated[str, setting("Private key file (PEM).", restart=True)] = ""
    domain_tls: Annotated[
        str, setting("Name expected in the certificates of other nodes; empty: their host.", restart=True)
    ] = ""
    client_ca_tls: Annotated[str, setting("CA file for the certificates of clients and other nodes.", restart=True)] = (
        ""
    )
    client_auth_tls: Annotated[
        int,
        setting("Client certificates: 0 to 2: ignored, 3: verified if given, 4: demanded.", ge=0, le=4, restart=True),
    ] = 0
    idle_conn_time: Annotated[Duration, setting("Idle connections to other nodes are closed after.", ge=0)] = Duration(
        6
    )
    backend_idle_conn_time: Annotated[Duration, setting("The same for remote backends.", ge=0, pending=True)] = (
        Duration(6)
    )
    idle_conns_per_host: Annotated[int, setting("Idle connections kept per node.", ge=0, pending=True)] = 32
    idle_conns: Annotated[int, setting("Idle connections kept in all.", ge=0, pending=True)] = 256
    write_buffer_size: Annotated[int, setting("Bytes; 0: default.", ge=0, pending=True)] = 0
    read_buffer_size: Annotated[int, setting("Bytes; 0: default.", ge=0, pending=True)] = 0
    use_https: Annotated[bool, setting("TLS on every network.", restart=True)] = False
    skip_verify: Annotated[bool, setting("Do not verify the certificates of other nodes.", restart=True)] = False
    chunked_transfer: Annotated[bool, setting("Chunked uploads are accepted in any case.", pending=True)] = True


class Net(Section, frozen=True):
    """The network."""

    l4: L4 = L4()
    http: HTTP = HTTP()
    use_ipv6: Annotated[bool, setting("Advertise IPv6 addresses.", pending=True)] = False
    hosts: Annotated[
        tuple[str, ...], setting("Names under which browsers may reach the cluster, besides names of nodes.")
    ] = ()
    s3_domain: Annotated[
        str, setting("Domain of virtual-host style S3 requests (`bucket.domain`); empty: path style only.")
    ] = ""
    s3_object_ownership: Annotated[
        str,
        setting(
            "Who owns objects in new S3 buckets: BucketOwnerEnforced (no access control lists, as at Amazon),"
            " BucketOwnerPreferred or ObjectWriter."
        ),
    ] = "BucketOwnerEnforced"
    s3_events: Annotated[
        tuple[str, ...],
        setting(
            "Receivers of bucket notifications, `NAME=URL` each: `http(s)://` (a webhook), `nats://`, `kafka://`,"
            " `amqp://` ([s3.md](s3.md)); buckets name one as `arn:ais:sqs::NAME:KIND`, KIND being `webhook`, `nats`,"
            " `kafka`, `amqp`."
        ),
    ] = ()

    s3_replicas: Annotated[
        tuple[str, ...],
        setting(
            "Other clusters that buckets are replicated to, `NAME=http://KEYID@host:port` each; buckets name a bucket"
            " there as `arn:ais:s3::NAME:BUCKET`. The key's secret is that of the access key KEYID of this cluster."
        ),
    ] = ()

    @property
    def replica_clusters(self) -> dict[str, str]:
        """Clusters that buckets are replicated to: name to URL, with the ID of an access key in it."""
        return dict(one.partition("=")[::2] for one in self.s3_replicas)

    @property
    def event_receivers(self) -> dict[str, str]:
        """Receivers of bucket notifications: name to URL."""
        return dict(one.partition("=")[::2] for one in self.s3_events)

    def check(self) -> None:
        for one in self.s3_events:
            name, _, url = one.partition("=")
            if not _RECEIVER.fullmatch(name):
                raise ValueError(f's3_events="{name}=...": write NAME=URL, the name in small letters, digits, "-"')
            try:
                receivers.parse(url)
            except ValueError as error:
                raise ValueError(f'the URL of "{name}" in s3_events: {error}') from None
        if len(self.event_receivers) != len(self.s3_events):
            raise ValueError("s3_events names a receiver twice")
        for one in self.s3_replicas:
            name, _, url = one.partition("=")
            if not _RECEIVER.fullmatch(name) or not _CLUSTER_URL.fullmatch(url):
                raise ValueError(
                    f's3_replicas="{one}": write NAME=http://KEYID@host:port, the name in small letters, digits, "-"'
                )
        if len(self.replica_clusters) != len(self.s3_replicas):
            raise ValueError("s3_replicas names a cluster twice")
        if self.s3_object_ownership not in ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"):
            raise ValueError(
                f's3_object_ownership="{self.s3_object_ownership}": use BucketOwnerEnforced, BucketOwnerPreferred or'
                " ObjectWriter"
            )
        if self.http.use_https and not (self.http.server_crt and self.http.server_key):
            raise ValueError("use_https needs server_crt and server_key")
        if self.s3_domain and not _DOMAIN.fullmatch(self.s3_domain):
            raise ValueError(f's3_domain="{self.s3_domain}" is no domain name: use one like s3.example.com')


class Timeout(Section, frozen=True):
    """Deadlines inside the cluster."""

    cplane_operation: Annotated[Duration, setting("A control-plane call.", ge=0.1, le=60)] = Duration(2)
    max_keepalive: Annotated[Duration, setting("A heartbeat.", ge=0.1, le=120)] = Duration(5)
    max_host_busy: Annotated[Duration, setting("A two-phase bucket change.", ge=1, le=600)] = Duration(20)
    startup_time: Annotated[
        Duration, setting("How long a starting primary waits for known targets.", ge=0.5, le=1800)
    ] = Duration(60)
    join_startup_time: Annotated[Duration, setting("How long a starting node tries to join.", ge=1, le=3600)] = (
        Duration(180)
    )
    send_file_time: Annotated[Duration, setting("Sending one object to another target.", ge=1, pending=True)] = (
        Duration(300)
    )
    ec_streams_time: Annotated[Duration, setting("Idle erasure-coding streams.", pending=True)] = Duration(600)
    object_md: Annotated[
        Duration, setting("Object metadata unused for this long leaves memory.", ge=0, pending=True)
    ] = Duration(7200)
    cold_get_conflict: Annotated[Duration, setting("Wait for another cold GET.", ge=0, pending=True)] = Duration(5)


class Memsys(Section, frozen=True):
    """Memory."""

    min_free: Annotated[Size, setting("Memory to leave free.", ge=0, pending=True)] = Size(2 * GIB)
    default_buf: Annotated[Size, setting("Buffer size.", ge=0, pending=True)] = Size(32768)
    to_gc: Annotated[Size, setting("Collect garbage after.", ge=0, pending=True)] = Size(4 * GIB)
    hk_time: Annotated[Duration, setting("Housekeeping interval.", ge=1, pending=True)] = Duration(180)
    min_pct_total: Annotated[int, setting("Free memory in percent of all.", ge=0, le=95, pending=True)] = 0
    min_pct_free: Annotated[
        int, setting("Free memory in percent of what was free at start.", ge=0, le=95, pending=True)
    ] = 0


class StatsD(Section, frozen=True):
    """Counters pushed to a StatsD server. AIStore has no such section; its clients ignore it."""

    host: Annotated[str, setting("Host name; empty: off.", restart=True)] = ""
    port: Annotated[int, setting("UDP port.", ge=1, le=65535, restart=True)] = 8125
    prefix: Annotated[str, setting("First part of every name.", restart=True)] = "ais"


BackendProviders = Annotated[
    dict[str, Any],
    setting(
        'Remote backends by provider (`aws`, `gcp`, `azure`, `ht`): `{"aws": {}}` serves buckets of S3,'
        ' `{"aws": {"disabled": true}}` refuses them.'
    ),
]
