"""The SDK's `Cluster`: map, readiness, statistics, logs and jobs of a live cluster."""

import gzip
import io
import re
import tarfile

import pytest
import requests
import xxhash
from aistore.sdk import Client
from aistore.sdk.enums import LogSeverity, NodeFilter
from aistore.sdk.errors import AISError
from harness.wire import fresh_name


def test_get_info_shows_every_node(client: Client, cluster):
    """The cluster map has exactly the nodes that run, each with the digest that placement uses."""
    smap = client.cluster().get_info()
    assert set(smap.pmap) == {node.id for node in cluster.proxies}
    assert set(smap.tmap) == {node.id for node in cluster.targets}
    for node_id, snode in [*smap.pmap.items(), *smap.tmap.items()]:
        assert snode.daemon_id == node_id
        assert snode.id_digest == xxhash.xxh64_intdigest(node_id.encode(), seed=1103515245)
        assert requests.get(f"{snode.public_net.direct_url}/v1/health", timeout=5).status_code == 200
    assert smap.version > 0


def test_primary_url_is_a_proxy_everyone_agrees_on(client: Client, cluster):
    """Every proxy names the same primary, and it is one of them."""
    urls = {Client(node.url).cluster().get_primary_url() for node in cluster.proxies}
    assert urls == {client.cluster().get_primary_url()}
    assert urls <= {node.url for node in cluster.proxies}


def test_uuid_is_the_clusters(client: Client, cluster):
    """The cluster UUID is a valid id and the same through every proxy."""
    uuids = {Client(node.url).cluster().get_uuid() for node in cluster.proxies}
    assert len(uuids) == 1
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{7,30}[A-Za-z0-9]", uuids.pop())


def test_is_ready(client: Client):
    """A cluster with all its nodes says so."""
    assert client.cluster().is_ready() is True


@pytest.mark.parametrize("provider", ["ais", ""])
def test_list_buckets_follows_create_and_delete(client: Client, provider: str):
    """A bucket is in the list once created and gone once deleted, by provider and over all providers."""
    bucket = client.bucket(fresh_name()).create()
    listed = [b for b in client.cluster().list_buckets(provider) if b.name == bucket.name]
    assert [(b.name, b.provider) for b in listed] == [(bucket.name, "ais")]
    bucket.delete()
    assert bucket.name not in {b.name for b in client.cluster().list_buckets(provider)}


def test_get_performance_has_each_targets_status(client: Client, cluster, bck):
    """Node status of each target: identity, version, mountpaths, and a counter that a PUT moves."""

    def puts() -> int:
        return sum(s["tracker"].get("put.n", 0) for s in client.cluster().get_performance().values())

    before = puts()
    for number in range(5):
        bck.object(f"o{number}").get_writer().put_content(b"counted")
    assert puts() == before + 5
    for target_id, status in client.cluster().get_performance().items():
        assert status["snode"]["daemon_id"] == target_id
        assert status["ais_version"].startswith("5.0")
        assert status["status"] == ""
        assert status["cluster"]["flags"] == 6
        assert len(status["capacity"]["mountpaths"]) == 2
    assert set(client.cluster().get_performance()) == {node.id for node in cluster.targets}


@pytest.mark.parametrize("severity", list(LogSeverity))
def test_logs_of_every_node(client: Client, cluster, severity: LogSeverity):
    """The current log of targets and proxies is text, at every severity."""
    logs = client.cluster().get_cluster_logs(severity=severity, role=NodeFilter.ALL)
    assert set(logs) == {node.id for node in cluster.nodes}
    if severity is LogSeverity.INFO:
        assert all(text.strip() for text in logs.values())


def test_log_archive_is_a_tar_gz_holding_the_log(client: Client, cluster):
    """All logs of a node come as a TAR.GZ with at least one non-empty file."""
    content = client.cluster().get_node_log_archive(cluster.targets[0].id)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
        assert sum(member.size for member in archive.getmembers()) > 0


def test_log_of_an_unknown_node_is_not_found(client: Client):
    """Asking for the log of a node that is not in the map is a 404, not a server failure."""
    with pytest.raises(AISError) as failure:
        client.cluster().get_node_log("nosuchnode")
    assert failure.value.status_code == 404


def test_jobs_are_listed_running_and_finished(client: Client, bck):
    """A finished rename is in the status of all jobs with an end time, and not among the running ones."""
    bck.object("o").get_writer().put_content(b"x")
    job_id = bck.rename(fresh_name("renamed"))
    assert client.job(job_id).wait(timeout=60).success
    status = {job.uuid: job for job in client.cluster().list_jobs_status()}
    assert status[job_id].end_time > 0
    assert status[job_id].err == ""
    running = client.cluster().list_running_jobs()
    assert all(re.fullmatch(r"[a-z-]+\[.+\]", job) for job in running)
    assert not any(job_id in job for job in running)
    by_kind = {job.uuid for job in client.cluster().list_jobs_status(job_kind="move-bck")}
    assert job_id in by_kind


def test_status_of_an_unknown_job_is_not_found(client: Client):
    """A job id nobody knows is a 404."""
    with pytest.raises(AISError) as failure:
        client.job("nosuchjobid1").status()
    assert failure.value.status_code == 404
