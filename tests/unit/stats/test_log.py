"""Log files and what goes into them."""

import io
import json
import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ais.base.errors import BadRequest
from ais.stats import log
from ais.stats.log_file import LogFile


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LogFile]:
    """A small log file that structlog writes to."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    file = LogFile(str(tmp_path), "node", 4096, 16384)
    log.configure("3", file)
    yield file
    file.close()
    structlog.reset_defaults()
    root.handlers[:], level = before
    root.setLevel(level)


def lines(file: LogFile) -> list[dict[str, object]]:
    """The records in the current file."""
    return [json.loads(line) for line in file.read().splitlines()]


def test_records_are_json_with_what_was_bound(file: LogFile) -> None:
    """Event, level, time and bound values are one JSON object per line."""
    structlog.get_logger().bind(node="t[1]").info("joined", version=3)
    (record,) = lines(file)
    assert record | {"event": "joined", "node": "t[1]", "version": 3, "level": "info"} == record
    assert str(record["timestamp"]).endswith("Z")


def test_the_level_changes_while_loggers_live(file: LogFile) -> None:
    """A logger bound earlier obeys a level set later."""
    logger = structlog.get_logger().bind(node="x")
    logger.debug("no")
    log.set_level("4")
    logger.debug("yes")
    log.set_level("1")
    logger.info("no")
    logger.warning("also")
    assert [record["event"] for record in lines(file)] == ["yes", "also"]


def test_exceptions_carry_their_traceback(file: LogFile) -> None:
    """`exception` logs an error with the traceback as one field."""
    try:
        raise ValueError("boom")
    except ValueError:
        structlog.get_logger().exception("failed")
    (record,) = lines(file)
    assert record["level"] == "error"
    assert "ValueError: boom" in str(record["exception"])


def test_the_standard_library_logs_here_too(file: LogFile) -> None:
    """Records of `logging` arrive with their logger's name; unwanted ones do not."""
    logging.getLogger("aiohttp.server").warning("slow %s", "client")
    logging.getLogger("aiohttp.server").info("noise")
    (record,) = lines(file)
    assert record | {"event": "slow client", "level": "warning", "logger": "aiohttp.server"} == record


def test_files_rotate_and_stay_within_the_total(file: LogFile) -> None:
    """No file exceeds its limit, all together neither, and the newest lines are kept."""
    logger = structlog.get_logger()
    for index in range(1000):
        logger.info("line", index=index)
    sizes = [path.stat().st_size for path in file.files()]
    assert max(sizes) <= 4096
    assert sum(sizes) <= 16384
    kept = b"".join(path.read_bytes() for path in file.files()).splitlines()
    indexes = [json.loads(line)["index"] for line in kept]
    assert indexes == list(range(indexes[0], 1000))


def test_rotating_by_hand_and_the_archive(file: LogFile) -> None:
    """`rotate` starts an empty file; the archive holds all of them."""
    structlog.get_logger().info("before")
    file.rotate()
    structlog.get_logger().info("after")
    assert [record["event"] for record in lines(file)] == ["after"]
    with tarfile.open(fileobj=io.BytesIO(file.archive())) as tar:
        assert len(tar.getnames()) == 2


def test_reading_by_severity_and_offset(file: LogFile) -> None:
    """A severity leaves out what is less severe; an offset continues where the last read ended."""
    logger = structlog.get_logger()
    logger.info("one")
    size = len(file.read())
    logger.warning("two")
    logger.error("three")
    assert [json.loads(line)["event"] for line in file.read("warning").splitlines()] == ["two", "three"]
    assert [json.loads(line)["event"] for line in file.read("error").splitlines()] == ["three"]
    assert [json.loads(line)["event"] for line in file.read(offset=size).splitlines()] == ["two", "three"]
    with pytest.raises(BadRequest, match="severity"):
        file.read("loud")


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """The message names the setting."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(BadRequest, match="log_dir"):
        LogFile(str(tmp_path / "taken"), "node", 4096, 16384)
