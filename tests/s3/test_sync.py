"""Tools that mirror directory trees: up, changed and up again, down, and nothing differs.

A few hundred files in CI, 2,000 with S3_FULL=1 (`make nightly`).
"""

import os
import random
import subprocess
from pathlib import Path

import pytest
from harness.s3access import REGION, Access, boto, tool
from harness.scale import FULL

FILES = 2000 if FULL else 200
SIZES = (0, 16, 100, 4096, 20_000, 100_000)
"""Content that is not empty is there once: s3cmd copies within the bucket what has the same MD5, and does so after it
uploaded what changed, so that a new twin of a changed file gets the changed bytes."""
ODD_NAMES = ("with space", "plus+and&", "percent%41", "quote'", "dots..", "ünï-日本", "semi;colon=", "#hash?")


def aws(access: Access, _: Path) -> "Tool":
    """`aws s3 sync`."""
    return Tool([tool("aws"), "s3", "sync", "--delete", "--only-show-errors"], access.environment(), "s3://{}/tree")


def rclone(access: Access, _: Path) -> "Tool":
    """`rclone sync`, configured by environment."""
    environment = {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_AIS_TYPE": "s3",
        "RCLONE_CONFIG_AIS_PROVIDER": "Other",
        "RCLONE_CONFIG_AIS_ENDPOINT": access.url,
        "RCLONE_CONFIG_AIS_REGION": REGION,
        "RCLONE_CONFIG_AIS_ACCESS_KEY_ID": access.key_id,
        "RCLONE_CONFIG_AIS_SECRET_ACCESS_KEY": access.secret,
    }
    return Tool([tool("rclone"), "sync", "--checksum", "--retries", "1"], environment, "ais:{}/tree")


def s3cmd(access: Access, scratch: Path) -> "Tool":
    """`s3cmd sync`, which compares MD5s; it wants a configuration file."""
    settings = scratch / "s3cfg"
    settings.write_text(
        f"[default]\naccess_key = {access.key_id}\nsecret_key = {access.secret}\nhost_base = {access.host}\n"
        f"host_bucket = {access.host}\nbucket_location = {REGION}\nuse_https = False\n"
    )
    command = [tool("s3cmd"), f"--config={settings}", "sync", "--delete-removed", "--no-progress", "--quiet"]
    return Tool(command, {}, "s3://{}/tree/", slash="/")


class Tool:
    """A command that makes a tree at one place what it is at another."""

    def __init__(self, command: list[str], environment: dict[str, str], remote: str, slash: str = "") -> None:
        self._command, self._environment, self._remote, self._slash = command, environment, remote, slash

    def up(self, tree: Path, bucket: str) -> None:
        self._run(f"{tree}{self._slash}", self._remote.format(bucket))

    def down(self, bucket: str, tree: Path) -> None:
        self._run(self._remote.format(bucket), f"{tree}{self._slash}")

    def _run(self, source: str, destination: str) -> None:
        command = [*self._command, source, destination]
        subprocess.run(command, env={**os.environ, **self._environment}, check=True)


def make_tree(root: Path, source: random.Random) -> None:
    """FILES files in nested folders, some with names that need encoding."""
    for number in range(FILES):
        folder = root / f"class {number % 7}" / f"batch-{number % 23:02}"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{ODD_NAMES[number % len(ODD_NAMES)]}-{number}" if number % 5 == 0 else f"sample-{number:05}.bin"
        (folder / name).write_bytes(source.randbytes(source.choice(SIZES)))


def change_tree(root: Path, source: random.Random) -> None:
    """Every tenth file gets other bytes unless empty, every eleventh goes, some are new; no folder is left empty."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        if number % 11 == 0:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
        elif number % 10 == 0 and path.stat().st_size:
            path.write_bytes(source.randbytes(path.stat().st_size + 1))
    for number in range(FILES // 20):
        path = root / "new" / f"n{number % 3}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(source.choice(SIZES)))


def keys_of(access: Access, bucket: str) -> list[str]:
    """Every key below `tree/`."""
    pages = boto(access).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="tree/")
    return sorted(one["Key"].removeprefix("tree/") for page in pages for one in page.get("Contents", ()))


def paths_of(root: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("make", [aws, rclone, s3cmd], ids=lambda make: make.__name__)
def test_tree_goes_up_and_comes_back(s3: Access, s3_bucket: str, tmp_path: Path, make: object) -> None:
    """After two uploads, with changes between them, the bucket holds the tree and the tree that comes down is equal."""
    syncer, source = make(s3, tmp_path), random.Random(3)
    tree, back = tmp_path / "tree", tmp_path / "back"
    make_tree(tree, source)
    back.mkdir()
    syncer.up(tree, s3_bucket)
    assert keys_of(s3, s3_bucket) == paths_of(tree)
    change_tree(tree, source)
    syncer.up(tree, s3_bucket)
    assert keys_of(s3, s3_bucket) == paths_of(tree)
    syncer.down(s3_bucket, back)
    subprocess.run(["diff", "-r", str(tree), str(back)], check=True)
