"""`ais bucket` on a real cluster."""

import json
from typing import Any

from harness.wire import fresh_name


def test_life_of_a_bucket(ais: Any) -> None:
    """A bucket is created, listed, described, renamed and removed; each step says so, errors have their codes."""
    name, new = fresh_name(), fresh_name()
    assert ais("create", name).stdout == f'"ais://{name}" created\n'
    assert "already exists" in ais("create", f"ais://{name}", code=1).stderr
    ais("bucket", "create", name, "--ignore-existing")
    assert f"ais://{name}" in ais("ls").stdout.splitlines()
    assert {"name": name, "provider": "ais", "namespace": {"uuid": "", "name": ""}} in json.loads(
        ais("ls", "-j").stdout
    )
    ais("put", "-", f"{name}/o", stdin=b"content")
    assert "rename-bucket" in ais("bucket", "mv", name, new, "--wait", "--timeout", "30").stdout
    assert ais("object", "cat", f"{new}/o").stdout == "content"
    assert f"ais://{name}" not in ais("ls").stdout.splitlines()
    assert "confirm with --yes" in ais("bucket", "rm", new, code=2).stderr
    ais("rmb", new, "--yes")
    assert "does not exist" in ais("rmb", new, "--yes", code=3).stderr


def test_namespace(ais: Any) -> None:
    """A bucket of a namespace is another bucket than the one of the same name without."""
    name = fresh_name()
    ais("create", f"ais://#ml/{name}")
    assert f"ais://#ml/{name}" in ais("ls", "ais://#ml").stdout.splitlines()
    ais("bucket", "show", name, code=3)
    ais("put", "-", f"ais://#ml/{name}/o", stdin=b"x")
    assert ais("ls", f"ais://#ml/{name}", "--count-only").stdout == "1\n"
    ais("rmb", f"ais://#ml/{name}", "-y")


def test_properties(ais: Any, uri: str) -> None:
    """Properties are set from words or JSON, shown, and reset; what changed is told."""
    shown = ais("bucket", "props", "set", uri, "versioning.enabled=false", "access=ro").stdout
    assert '"versioning.enabled" set to: "false" (was: "true")' in shown
    assert '"access" set to: "ro" (was: "su")' in shown
    assert ais("show", "bucket", uri, "versioning.enabled").stdout.splitlines()[1].split() == [
        "versioning.enabled",
        "false",
    ]
    assert json.loads(ais("bucket", "show", uri, "--json").stdout)["versioning"]["enabled"] is False
    assert "access denied" in ais("put", "-", f"{uri}/o", stdin=b"x", code=1).stderr
    ais("bucket", "props", "set", uri, '{"checksum": {"type": "md5"}}')
    reset = ais("bucket", "props", "reset", uri).stdout
    assert '"checksum.type" set to: "xxhash2" (was: "md5")' in reset
    assert "as they were" in ais("bucket", "props", "reset", uri).stdout
    assert "no property" in ais("bucket", "show", uri, "nonsense", code=2).stderr


def test_create_with_properties(ais: Any) -> None:
    """Properties may be given at creation."""
    name = fresh_name()
    ais("create", name, "--props", "versioning.enabled=false checksum.type=sha256")
    props = json.loads(ais("bucket", "show", name, "-j").stdout)
    assert (props["versioning"]["enabled"], props["checksum"]["type"]) == (False, "sha256")
    ais("rmb", name, "-y")


def test_summary(ais: Any, uri: str) -> None:
    """A summary counts objects and their bytes, of a prefix too."""
    for name in ("a/1", "a/2", "b/1"):
        ais("put", "-", f"{uri}/{name}", stdin=bytes(1000))
    assert "2.93KiB" in ais("bucket", "summary", uri).stdout
    (found,) = json.loads(ais("bucket", "summary", f"{uri}/a/", "-j").stdout)
    assert found["ObjCount"]["obj_count_present"] == "2"
    assert uri in ais("ls", "--summary").stdout
    assert uri in ais("storage", "summary", "-H").stdout
