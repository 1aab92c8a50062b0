"""Structured logs: a constant event with key-values, as JSON lines in rotated files, or readable on standard error.

`configure` is called once by the process; everybody else takes `structlog.get_logger()` and binds what identifies it.
Records of the standard library's `logging` (aiohttp, asyncio) come out the same way.
"""

import logging
import sys
from typing import Any, Protocol

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
_LEVEL_OF_SETTING = {"0": WARNING, "1": WARNING, "2": WARNING, "3": INFO, "4": DEBUG, "5": DEBUG}


class Lines(Protocol):
    """Where lines go: a `LogFile`, or something on the way to one."""

    def write(self, line: bytes, /) -> None:
        """Take one line, its end included. Any thread may call."""
        ...


class _State:
    """The level in force; every logger looks here, so that it can change while the node runs."""

    level = INFO


class NodeLogger(structlog.BoundLoggerBase):
    """A bound logger whose calls below the level in force cost one comparison."""

    def debug(self, event: str, **values: Any) -> None:
        """Per request."""
        if _State.level <= DEBUG:
            self._proxy_to_logger("debug", event, **values)

    def info(self, event: str, **values: Any) -> None:
        """A change of state."""
        if _State.level <= INFO:
            self._proxy_to_logger("info", event, **values)

    def warning(self, event: str, **values: Any) -> None:
        """Degraded and healing itself."""
        self._proxy_to_logger("warning", event, **values)

    def error(self, event: str, **values: Any) -> None:
        """Someone must act."""
        self._proxy_to_logger("error", event, **values)

    def exception(self, event: str, **values: Any) -> None:
        """An error with the traceback of the exception being handled."""
        self._proxy_to_logger("error", event, exc_info=True, **values)


def configure(level: str, file: Lines | None) -> None:
    """Send logs to `file`, or to standard error when there is none. `level` is `log.level`, "0" to "5"."""
    set_level(level)
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("iso", utc=True),
        _head_first,
    ]
    if file is None:
        output: list[Processor] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        output = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    structlog.configure(
        processors=[*common, *output],
        wrapper_class=NodeLogger,
        logger_factory=_Factory(file),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(WARNING)


def _head_first(_logger: object, _method: str, values: EventDict) -> EventDict:
    """Time, level and event begin every line, for people who read it."""
    head = {name: values.pop(name) for name in ("timestamp", "level", "event")}
    return {**head, **values}


def set_level(level: str) -> None:
    """Change the level in force, as `log.level` writes it."""
    _State.level = _LEVEL_OF_SETTING[level]


class _Factory:
    """Makes the object at the end of every logger: one that writes a line."""

    def __init__(self, file: Lines | None) -> None:
        self._writer = _Writer(file)

    def __call__(self, *_: Any) -> WrappedLogger:
        return self._writer


class _Writer:
    def __init__(self, file: Lines | None) -> None:
        self._file = file

    def _write(self, line: str) -> None:
        if self._file is None:
            sys.stderr.write(line + "\n")
        else:
            self._file.write(line.encode("utf-8", "backslashreplace") + b"\n")

    debug = info = warning = error = _write


class _Bridge(logging.Handler):
    """Passes records of the standard library's `logging` on."""

    def emit(self, record: logging.LogRecord) -> None:
        values: EventDict = {"logger": record.name}
        if record.exc_info:
            values["exc_info"] = record.exc_info
        method = {"DEBUG": "debug", "INFO": "info", "WARNING": "warning"}.get(record.levelname, "error")
        getattr(structlog.get_logger(), method)(record.getMessage(), **values)
