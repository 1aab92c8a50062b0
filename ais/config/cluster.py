"""The configuration all nodes of a cluster share: an immutable, versioned value that only the primary changes."""

from typing import Annotated

import msgspec

from ais.api.codec import U64
from ais.base.errors import BadRequest
from ais.config import features, sections
from ais.config.limits import Limits
from ais.config.sections import XactionStreams
from ais.config.setting import Section, setting

READ_ONLY = frozenset({"uuid", "lastupdate_time", "config_version"})
CLUSTER_ONLY = frozenset({"backend", "mirror", "ec", "proxy", "rebalance", "versioning", "features"})
"""Sections that no single node may override."""


class ClusterConfig(Section, frozen=True):
    """Settings by section, with the names and the JSON of the wire contract §14."""

    tracing: sections.Tracing = sections.Tracing()
    distributed_sort: sections.DistributedSort = sections.DistributedSort()
    write_policy: sections.WritePolicy = sections.WritePolicy()
    checksum: sections.Checksum = sections.Checksum()
    tcb: XactionStreams = XactionStreams()
    tco: XactionStreams = XactionStreams()
    arch: XactionStreams = XactionStreams()
    lso: sections.ListObjects = sections.ListObjects()
    rate_limit: sections.RateLimit = sections.RateLimit()
    keepalivetracker: sections.Keepalive = sections.Keepalive()
    rebalance: sections.Rebalance = sections.Rebalance()
    log: sections.Log = sections.Log()
    ec: sections.EC = sections.EC()
    get_batch: sections.GetBatch = sections.GetBatch()
    space: sections.Space = sections.Space()
    transport: sections.Transport = sections.Transport()
    disk: sections.DiskUtilization = sections.DiskUtilization()
    fshc: sections.FSHC = sections.FSHC()
    chunks: sections.Chunks = sections.Chunks()
    lru: sections.LRU = sections.LRU()
    mirror: sections.Mirror = sections.Mirror()
    periodic: sections.Periodic = sections.Periodic()
    client: sections.Client = sections.Client()
    downloader: sections.Downloader = sections.Downloader()
    auth: sections.Auth = sections.Auth()
    backend: sections.BackendProviders = msgspec.field(default_factory=dict)
    uuid: Annotated[str, setting("The cluster's identity.")] = ""
    lastupdate_time: Annotated[str, setting("When the configuration last changed.")] = ""
    proxy: sections.ProxyURLs = sections.ProxyURLs()
    net: sections.Net = sections.Net()
    timeout: sections.Timeout = sections.Timeout()
    memsys: sections.Memsys = sections.Memsys()
    features: Annotated[U64, setting("Feature flags: names separated by commas, or the bit mask.", ge=0)] = U64(0)
    config_version: Annotated[U64, setting("Counts every change.", ge=0)] = U64(0)
    versioning: sections.Versioning = sections.Versioning()
    resilver: sections.Resilver = sections.Resilver()
    statsd: sections.StatsD = sections.StatsD()
    limits: Limits = Limits()

    def check(self) -> None:
        try:
            features.check(self.features)
        except BadRequest as error:
            raise ValueError(str(error)) from None

    def next_version(self, now: str) -> "ClusterConfig":
        """The same settings as the next version, changed at `now` (text for people)."""
        return msgspec.structs.replace(self, config_version=U64(self.config_version + 1), lastupdate_time=now)
