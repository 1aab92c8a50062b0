"""The flags, as AIStore's `aisloader` spells them (one dash or two), and what they mean together."""

import argparse
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ais.api.bucket import Bck
from ais.base.errors import BadRequest
from ais.base.units import Duration, Size

DEFAULT_SIZE_MIN, DEFAULT_SIZE_MAX = 1 << 20, 1 << 30
_GO_BOOL = re.compile(r"-{1,2}([a-z0-9.-]+)=(.*)", re.DOTALL)
_NOT_HERE = {
    "etl": "transforms need ETL",
    "etl_spec": "transforms need ETL",
    "nbi": "inventories are for remote buckets",
    "list_dirs": "virtual directories are listed of remote buckets",
    "pctmpdstream": "a multipart download is what `-readoff` and `-readlen` show",
    "arch_pct": "PUTs of shards are not made yet",
    "arch_list": "members of shards are not read yet",
}
"""Flags that would have no effect, and why."""


@dataclass(frozen=True)
class Plan:
    """What to do. Sizes in bytes, times in seconds; 0: no limit."""

    endpoint: str
    bucket: Bck
    is_new_name: bool
    workers: int
    processes: int
    duration_s: float
    put_pct: int
    update_pct: int
    size_min: int
    size_max: int
    put_bytes_max: int
    puts_max: int
    epochs: int
    seed: int
    interval_s: float
    subdir: str
    subdirs: int
    is_random_name: bool
    loader_id: str
    loader_count: int
    loader_bits: int
    checksum: str
    verifies: bool
    read_offset: int
    read_length: int
    is_latest: bool
    batch_size: int
    goes_on: bool
    chunks: int
    chunk_pct: int
    is_s3: bool
    s3_profile: str
    cleans_up: bool
    is_json: bool
    is_quiet: bool
    is_dry: bool
    is_any_proxy: bool
    file_list: str
    is_list_skipped: bool
    bucket_props: str
    token: str
    timeout_s: float
    output: str
    statsd: tuple[str, int] | None
    given: dict[str, Any] = field(default_factory=dict)


def parse(argv: list[str]) -> Plan:
    """Read a command line. Raise `BadRequest` naming the bad flag; `SystemExit` after `-usage` and `-version`."""
    return _plan(_parser().parse_args([_spelled(one) for one in argv]))


def _spelled(argument: str) -> str:
    """`-flag`, `-flag=true`, `-flag=value` as argparse wants them."""
    found = _GO_BOOL.fullmatch(argument)
    if found is None:
        return argument
    name, value = found.groups()
    if value.lower() == "true" and name in _ON_OFF:
        return f"-{name}"
    if value.lower() == "false" and name in _ON_OFF:
        return f"-no-{name}"
    return f"-{name}={value}"


_SWITCHES = {
    "verifyhash": "verify what GETs bring with the checksum of the cluster",
    "randomproxy": "ask a random gateway each time",
    "cached": "list objects in the cluster only",
    "latest": "have the cluster check for a newer version at the source",
    "cont-on-err": "get-batch: go on when objects are missing",
    "quiet": "do not print the parameters",
    "json": "print JSON",
    "dry-run": "print the parameters and end",
    "skiplist": "do not list the bucket before a run of 100% PUTs",
    "stoppable": "stop on Ctrl-C and print what was measured",
    "s3-use-path-style": "path-style addresses (always so here)",
    "trace-http": "",
    "nbi": "",
    "list-dirs": "",
    "arch.list": "",
}


_ON_OFF = frozenset((*_SWITCHES, "randomname", "cleanup"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "aisloader",
        usage="aisloader -flag=value ... (-usage lists the flags)",
        description="Load on an AIStore-compatible cluster, or on an S3 endpoint.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    for name, text in _SWITCHES.items():
        group = parser.add_mutually_exclusive_group()
        shown = text or argparse.SUPPRESS
        for flag, value in ((name, True), (f"no-{name}", False)):
            group.add_argument(
                f"-{flag}", f"--{flag}", dest=_dest(name), action="store_const", const=value, help=shown, default=False
            )
            shown = argparse.SUPPRESS
    for flag, value in (("randomname", True), ("no-randomname", False)):
        add(f"-{flag}", f"--{flag}", dest="randomname", action="store_const", const=value, default=True)
    for flag, value in (("cleanup", True), ("no-cleanup", False)):
        add(f"-{flag}", f"--{flag}", dest="cleanup", action="store_const", const=value, help="destroy the bucket after")
    for name, default, text in (
        ("ip", "", "gateway (default: AIS_ENDPOINT, or localhost)"),
        ("port", "", "its port (default 8080)"),
        ("bucket", "", "bucket or URI; none: a new one, destroyed after"),
        ("provider", "ais", ""),
        ("bprops", "", "properties of the bucket, JSON"),
        ("duration", "", "0: until stopped (default 1m, with limits of PUTs: until they are reached)"),
        ("minsize", "", "smallest object"),
        ("maxsize", "", "largest object"),
        ("totalputsize", "0", "end after so many bytes of PUTs"),
        ("subdir", "", "virtual directory of names"),
        ("cksum-type", "xxhash", "what the client computes: xxhash, or none"),
        ("readoff", "", "offset of ranged reads"),
        ("readlen", "", "length of ranged reads"),
        ("filelist", "", "file with the names to read"),
        ("loaderid", "0", "this loader among several"),
        ("tokenfile", "", "authentication token"),
        ("timeout", "10m", "of one request"),
        ("tmpdir", "/tmp/ais", ""),  # noqa: S108 - AIStore's default; nothing is written there
        ("readertype", "sg", "where content comes from: sg or rand (memory)"),
        ("stats-output", "", "file for the statistics"),
        ("s3endpoint", "", "read and write an S3 endpoint, not a cluster"),
        ("s3profile", "", "credentials' profile"),
        ("etl", "", argparse.SUPPRESS),
        ("etl-spec", "", argparse.SUPPRESS),
        ("statsdip", "", "StatsD"),
    ):
        add(f"-{name}", f"--{name}", dest=_dest(name), default=default, help=text or argparse.SUPPRESS)
    for number, preset, text in (
        ("numworkers", 10, "requests at a time"),
        ("processes", 1, "processes that share the workers (not in AIStore's)"),
        ("pctput", 0, "percentage of PUTs"),
        ("pctupdate", 0, "percentage of GETs that are followed by a PUT of the same name"),
        ("maxputs", 0, "end after so many PUTs"),
        ("epochs", 0, "full passes over the listed names"),
        ("seed", 0, "0: from the clock"),
        ("statsinterval", 10, "seconds between reports; 0: at the end only"),
        ("num-subdirs", 0, "spread names over so many virtual directories"),
        ("loadernum", 0, "how many loaders run together"),
        ("loaderidhashlen", 0, "bits of the loader's ID in names"),
        ("get-batchsize", 0, "objects per get-batch"),
        ("multipart-chunks", 0, "parts of an upload"),
        ("pctmultipart", 100, "percentage of PUTs in parts"),
        ("pctmpdstream", 0, ""),
        ("arch.pct", 0, ""),
        ("perm-shuffle-max", 100000, ""),
        ("evict-batchsize", 1000, ""),
        ("statsdport", 8125, ""),
    ):
        add(f"-{number}", f"--{number}", dest=_dest(number), type=int, default=preset, help=text or argparse.SUPPRESS)
    add("-getloaderid", "--getloaderid", action="store_true", help="print the loader's ID and end")
    add("-version", "--version", action="version", version="aisloader v2.25 (ais)")
    add("-usage", "--usage", action="help", help="print this and end")
    return parser


def _dest(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")


def _plan(given: argparse.Namespace) -> Plan:
    for name, reason in _NOT_HERE.items():
        if getattr(given, name):
            raise BadRequest(f"-{name.replace('_', '-')} is not served: {reason}")
    if given.readertype not in ("sg", "rand"):
        raise BadRequest(f'-readertype "{given.readertype}": expected sg or rand')
    if given.cksum_type not in ("xxhash", "none", ""):
        raise BadRequest(f'-cksum-type "{given.cksum_type}": expected xxhash or none')
    for percentage in ("pctput", "pctupdate", "pctmultipart"):
        if not 0 <= getattr(given, percentage) <= 100:
            raise BadRequest(f"-{percentage} must be from 0 to 100")
    bucket, is_new = _bucket(given)
    put_limit = int(Size.parse(given.totalputsize)) if given.totalputsize else 0
    size_min, size_max = _sizes(given)
    limits = put_limit or given.maxputs or given.epochs
    duration = given.duration or ("0" if limits else "1m")
    workers = max(1, given.numworkers)
    return Plan(
        endpoint=_endpoint(given),
        bucket=bucket,
        is_new_name=is_new,
        workers=workers,
        processes=min(max(1, given.processes), workers),
        duration_s=_seconds("duration", duration),
        put_pct=given.pctput,
        update_pct=given.pctupdate,
        size_min=size_min,
        size_max=size_max,
        put_bytes_max=put_limit,
        puts_max=given.maxputs,
        epochs=given.epochs,
        seed=given.seed,
        interval_s=given.statsinterval,
        subdir=given.subdir.strip("/"),
        subdirs=given.num_subdirs,
        is_random_name=given.randomname and not given.loadernum,
        loader_id=given.loaderid,
        loader_count=given.loadernum,
        loader_bits=given.loaderidhashlen,
        checksum="" if given.cksum_type == "none" else given.cksum_type,
        verifies=given.verifyhash,
        read_offset=int(Size.parse(given.readoff or "0")),
        read_length=int(Size.parse(given.readlen or "0")),
        is_latest=given.latest,
        batch_size=given.get_batchsize,
        goes_on=given.cont_on_err,
        chunks=given.multipart_chunks,
        chunk_pct=given.pctmultipart,
        is_s3=bool(given.s3endpoint),
        s3_profile=given.s3profile,
        cleans_up=is_new if given.cleanup is None else given.cleanup,
        is_json=given.json,
        is_quiet=given.quiet,
        is_dry=given.dry_run,
        is_any_proxy=given.randomproxy,
        file_list=given.filelist,
        is_list_skipped=given.skiplist,
        bucket_props=_json_object(given.bprops),
        token=_token(given.tokenfile),
        timeout_s=_seconds("timeout", given.timeout),
        output=given.stats_output,
        statsd=(given.statsdip, given.statsdport) if given.statsdip else None,
        given=vars(given),
    )


def _bucket(given: argparse.Namespace) -> tuple[Bck, bool]:
    if not given.bucket:
        return Bck("aisloader-" + os.urandom(5).hex()), True
    bck, name = Bck.parse_uri(given.bucket, given.provider)
    if name:
        raise BadRequest(f'-bucket "{given.bucket}" names an object: expected a bucket')
    return bck, False


def _endpoint(given: argparse.Namespace) -> str:
    if given.s3endpoint:
        return str(given.s3endpoint).rstrip("/")
    found = urlsplit(os.environ.get("AIS_ENDPOINT", "") or "http://localhost:8080")
    host, port = given.ip or found.hostname, given.port or found.port or 8080
    return f"{found.scheme}://{host}:{port}"


def _sizes(given: argparse.Namespace) -> tuple[int, int]:
    size_min = int(Size.parse(given.minsize)) if given.minsize else 0
    size_max = int(Size.parse(given.maxsize)) if given.maxsize else 0
    if not given.minsize and not given.maxsize:
        return DEFAULT_SIZE_MIN, DEFAULT_SIZE_MAX
    size_max = size_max or max(size_min, DEFAULT_SIZE_MAX)
    if size_min > size_max:
        raise BadRequest(f"-minsize {given.minsize} is above -maxsize {given.maxsize}")
    return size_min, size_max


def _seconds(name: str, text: str) -> float:
    try:
        return float(Duration.parse(text))
    except BadRequest as error:
        raise BadRequest(f"-{name}: {error}") from None


def _json_object(text: str) -> str:
    if text:
        try:
            if not isinstance(json.loads(text), dict):
                raise ValueError("it is no object")
        except ValueError as error:
            raise BadRequest(f"-bprops must be a JSON object of bucket properties: {error}") from None
    return text


def _token(path: str) -> str:
    if not path:
        return os.environ.get("AIS_AUTHN_TOKEN", "")
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise BadRequest(f"cannot read -tokenfile {path}: {error.strerror}") from None
    try:
        found = json.loads(text)
    except ValueError:
        return text.strip()
    return str(found.get("token", "")) if isinstance(found, dict) else text.strip()
