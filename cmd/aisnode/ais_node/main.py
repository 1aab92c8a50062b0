"""The program `aisnode`: start one node, say in a sentence why it cannot run, and exit with a status that tells."""

import asyncio
import gc
import os
import resource
import sys

import uvloop

from ais.base import errors
from ais.base.errors import AisError
from ais_node import arguments, process, settings

OK, UNEXPECTED, BAD_CONFIGURATION, BUSY_PORT, BAD_VOLUME, FOREIGN, NOT_JOINED = range(7)

_STATUS: dict[type[AisError], int] = {
    errors.MountpathNotFound: BAD_VOLUME,
    errors.CorruptMetadata: BAD_VOLUME,
    errors.DiskFailure: BAD_VOLUME,
    errors.OutOfSpace: BAD_VOLUME,
    errors.IntegrityError: FOREIGN,
    errors.AlreadyExists: FOREIGN,
    errors.Busy: BUSY_PORT,
    errors.BadRequest: BAD_CONFIGURATION,
    errors.NotReady: NOT_JOINED,
    errors.Unreachable: NOT_JOINED,
}
"""The nearest class in an error's ancestry decides."""


SWITCH_S = 0.001
"""How long a thread at work keeps the others waiting: a request changes threads several times. Python has five times as
much."""


def main(argv: list[str] | None = None) -> int:
    """Run a node until it is told to stop; the exit status (`arguments` lists them)."""
    given = arguments.parse(sys.argv[1:] if argv is None else argv)
    os.umask(0o077)  # metadata, keys and content are the node's own
    _raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_S)
    try:
        found = settings.read(given)
        gc.freeze()  # modules stay: each look of the garbage collector at them stops the node for 0.1 s
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            while runner.run(process.run(given, found)):
                pass
    except AisError as error:
        return _fail(str(error), exit_status(error))
    except Exception as error:  # noqa: BLE001 - the process ends here; `process.run` has logged the traceback
        return _fail(f"unexpected error: {error!r}", UNEXPECTED)
    return OK


def exit_status(error: AisError) -> int:
    """What a process that failed with this error exits with."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), UNEXPECTED)


def _fail(sentence: str, status: int) -> int:
    sys.stderr.write(f"aisnode: {sentence}\n")
    return status


def _raise_descriptor_limit() -> None:
    """Allow as many open files and connections as the system lets us."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
