"""`ais nbi`: a bucket at moto is listed by its inventory."""

import json
from typing import Any

import boto3
import pytest

from ais.testing import Cluster


def test_inventories(ais_offline: Any, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, shown, listed by, removed; what is wrong is said."""
    ais = ais_offline
    origin = boto3.client("s3", endpoint_url=aws)
    origin.create_bucket(Bucket="cli-inventory")
    for name in ("a", "d/b", "d/c"):
        origin.put_object(Bucket="cli-inventory", Key=name, Body=b"content")
    uri = "s3://cli-inventory"
    with Cluster(1, 1, 1) as cluster:
        monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
        ais("config", "cluster", 'backend={"aws": {}}')
        assert "'ais nbi create s3://BUCKET' makes one" in ais("nbi", "show").stderr
        assert "has no inventory" in ais("ls", uri, "--inventory", code=2).stderr
        ais("nbi", "create", uri, "--inv-name", "mine", "--names-per-chunk", 2, "--wait")
        origin.put_object(Bucket="cli-inventory", Key="later", Body=b"content")
        shown = ais("show", "nbi", uri).stdout.splitlines()
        assert shown[0].split() == ["BUCKET", "NAME", "SIZE", "OBJECTS", "STARTED", "FINISHED", "PREFIX"]
        assert [word for at, word in enumerate(shown[1].split()) if at in (0, 1, 3, 6)] == [uri, "mine", "3", "-"]
        assert "aws/@#/cli-inventory/mine" in ais("nbi", "show", "s3:", "-v").stdout
        assert [one["ntotal"] for one in json.loads(ais("nbi", "show", "--json").stdout)] == [3]
        assert ais("ls", uri, "--inventory", "--name-only", "-H").stdout.split() == ["a", "d/b", "d/c"]
        assert ais("ls", uri, "--inv-name", "mine", "--nr", "--name-only", "-H").stdout.split() == ["a", "d/"]
        assert "already exists" in ais("nbi", "create", uri, code=1).stderr
        ais("nbi", "create", uri, "-f", "--prefix", "d/", "--wait")
        assert ais("ls", uri, "--inventory", "--name-only", "-H").stdout.split() == ["d/b", "d/c"]
        assert "Removed inventory" in ais("nbi", "rm", uri).stdout
        assert "No inventory" in ais("nbi", "show", uri).stderr
