"""The command line over TLS, with and without what it needs for it."""

import os
from pathlib import Path
from typing import Any

import pytest
from harness import certificates

from ais.testing import Cluster

SETTINGS = {"net.http.client_auth_tls": "4"}
"""Every client must show a certificate of our CA."""


def test_tls(ais_offline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CA and certificate everything works; without, the message says what is missing."""
    files, data = certificates.make(tmp_path), os.urandom(500_000)
    with Cluster(proxies=1, targets=1, mountpaths=1, tls=files, config_overrides=SETTINGS) as cluster:
        monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
        assert "certificate that cannot be verified" in ais_offline("ls", code=4).stderr
        monkeypatch.setenv("AIS_CLIENT_CA", files.ca)
        ais_offline("ls", code=4)
        monkeypatch.setenv("AIS_CRT", files.certificate)
        monkeypatch.setenv("AIS_CRT_KEY", files.key)
        ais_offline("create", "b")
        ais_offline("put", "-", "b/o", stdin=data)
        assert ais_offline("get", "b/o", "-").stdout_bytes == data
        assert "online" in ais_offline("show", "cluster").stdout
        monkeypatch.delenv("AIS_CLIENT_CA")
        monkeypatch.setenv("AIS_SKIP_VERIFY_CRT", "true")
        assert ais_offline("ls", "-H").stdout == "ais://b\n"
        monkeypatch.setenv("AIS_CRT", str(tmp_path / "none"))
        assert "AIS_CRT" in ais_offline("ls", code=2).stderr
