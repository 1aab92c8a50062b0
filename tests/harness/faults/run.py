"""Run one schedule: `python -m harness.faults.run --seed 7 --seconds 120` (from `tests`). Exit status 1: a violation.

Everything a run found is in its directory: `report.txt`, and the logs of the nodes.
"""

import argparse
import asyncio
import io
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from harness.faults import schedule
from harness.faults.book import Book
from harness.faults.gateway import Gateway, Refused, Unknown
from harness.faults.history import Violation
from harness.faults.load import Load, final_reads
from harness.faults.profiles import PROFILES
from harness.faults.schedule import PLAIN, VERSIONED, Fault, Kind, Shape
from harness.faults.stage import READY_S, Broken, Stage
from harness.faults.values import Contents
from harness.faults.web import Answer, Web

SLACK_S = 30.0
SERVED_S = 60.0
"""How long after the cluster is whole again everything must be served."""


class Run:
    """One schedule on one cluster."""

    def __init__(
        self, stage: Stage, seed: int, seconds: float, faults: list[Fault], options: argparse.Namespace
    ) -> None:
        self._stage = stage
        self._seed = seed
        self._seconds = seconds
        self._faults = faults
        self._web = Web()
        self._gateway = Gateway(stage.proxies, stage.targets, self._web)
        self._source = random.Random(f"run {seed}")
        self._grace_s = options.grace
        self._workers = options.workers
        self._rush = options.rush
        self._profile = PROFILES[options.profile]
        self.book = Book(Contents(seed), options.grace)

    async def run(self) -> None:
        """Raise `Violation` or `Broken`."""
        await self._make_buckets()
        self.book = Book(Contents(self._seed), self._grace_s, self._profile.lists_sizes)
        load = Load(self.book, self._gateway, self._seed, self._workers, self._rush)
        stop = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [group.create_task(self.book.keep_expiring()), group.create_task(self._stage.keep_running())]
                loading = group.create_task(load.run(stop))
                await self._inject(group)
                await asyncio.sleep(max(self._seconds - self.book.clock.now_s, 0))
                stop.set()
                await loading
                await self._stage.wait_ready(READY_S)
                await self._check(load)
                for helper in helpers:
                    helper.cancel()
        except* (Violation, Broken) as errors:
            raise _first(errors) from None
        finally:
            await self._web.close()

    async def watched(self) -> None:
        """`run`, ended with the stacks of all tasks when it takes much longer than it may."""
        running = asyncio.create_task(self.run())
        limit_s = self._seconds + READY_S + self._grace_s + SERVED_S + SLACK_S
        done, _ = await asyncio.wait([running], timeout=limit_s)
        if not done:
            stacks = io.StringIO()
            for task in asyncio.all_tasks():
                task.print_stack(file=stacks)
            running.cancel()
            raise Broken(f"the run did not end within {limit_s:g} s: {stacks.getvalue()}")
        running.result()

    async def _inject(self, group: asyncio.TaskGroup) -> None:
        tasks = [group.create_task(self._one(fault)) for fault in self._faults]
        for task in tasks:
            await asyncio.wait([task])
            if not task.cancelled() and task.exception():
                return

    async def _one(self, fault: Fault) -> None:
        await asyncio.sleep(max(fault.at_s - self.book.clock.now_s, 0))
        period = self.book.fault_begins(fault)

        async def until_its_end() -> None:
            await asyncio.sleep(max(fault.end_s - self.book.clock.now_s, 0))

        await self._stage.inject(fault, until_its_end)
        self.book.fault_ends(period)

    async def _check(self, load: Load) -> None:
        """After a quiet period everything is served exactly, by every gateway."""
        if self._stage.bare:
            raise Violation(f"written where no mountpath was: {self._stage.bare[0]}", "\n".join(self._stage.bare))
        await asyncio.sleep(self._grace_s)
        self.book.expire()
        deadline = time.monotonic() + SERVED_S
        for ask in final_reads(load.groups, self._source):
            while not await ask():
                if time.monotonic() > deadline:
                    raise Broken(f"not everything is served {SERVED_S:g} s after the faults")
                await asyncio.sleep(0.3)

    async def _make_buckets(self) -> None:
        for bucket, props in ((PLAIN, self._profile.props), (VERSIONED, {})):
            message = {"action": "create-bck", "value": props}
            make = partial(self._gateway.bucket, self._source, "POST", f"/v1/buckets/{bucket}", {}, message)
            await _until_done(make, 200, 409)
        document = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        await _until_done(
            partial(self._gateway.s3, self._source, "PUT", VERSIONED, "", "versioning", body=document), 200
        )


async def _until_done(ask: Callable[[], Awaitable[Answer]], *statuses: int) -> None:
    """Before any fault: ask until it is done, also when a busy machine let the first answer come too late."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            answer = await ask()
        except (Refused, Unknown):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            assert answer.status in statuses, answer
            return


def _first(errors: BaseExceptionGroup) -> BaseException:
    one: BaseException = errors
    while isinstance(one, BaseExceptionGroup):
        one = one.exceptions[0]
    return one


async def run(arguments: argparse.Namespace, directory: Path) -> int:
    """One schedule; the exit status."""
    shape = Shape(arguments.proxies, arguments.targets, arguments.mountpaths)
    profile = PROFILES[arguments.profile]
    kinds = tuple(Kind[name] for name in arguments.kinds.split(",")) if arguments.kinds else profile.kinds
    faults = [] if arguments.calm else schedule.plan(arguments.seed, arguments.seconds, shape, kinds)
    sys.stdout.write(f"seed {arguments.seed}, {arguments.seconds:g} s, {shape}\n")
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    sys.stdout.flush()
    stage = Stage(directory / "cluster", shape, plant=arguments.plant)
    report, one = "", None
    try:
        await stage.open()
        one = Run(stage, arguments.seed, arguments.seconds, faults, arguments)
        await one.watched()
    except (Violation, Broken) as error:
        report = f"{type(error).__name__.upper()} {error}\n"
    except Exception:  # noqa: BLE001 - a failure of the harness must leave its report too
        report = f"HARNESS FAILED {traceback.format_exc()}\n"
    finally:
        await stage.close()
    counts = dict(sorted(one.book.counts.items())) if one else {}
    sys.stdout.write(f"{report}{sum(counts.values())} requests {counts}\n{'FAILED' if report else 'passed'}\n")
    (directory / "report.txt").write_text(report)
    for path in stage.log_files():
        shutil.copy(
            path,
            directory / f"{path.parent.parent.name if path.parent.name == 'log' else path.parent.name}.{path.name}",
        )
    shutil.rmtree(directory / "cluster", ignore_errors=True)
    return 1 if report else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--grace", type=float, default=10.0, help="seconds that an unanswered request may still act")
    parser.add_argument("--workers", type=int, default=8, help="clients; names grow with them")
    parser.add_argument("--profile", choices=PROFILES, default="plain", help="how the buckets are protected")
    parser.add_argument("--rush", default="", help="a change of objects that clients race for, like rename")
    parser.add_argument("--proxies", type=int, default=2)
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--mountpaths", type=int, default=2)
    parser.add_argument("--kinds", default="", help="only these kinds of fault, like KILL,FREEZE")
    parser.add_argument("--calm", action="store_true", help="no fault at all")
    parser.add_argument("--plant", default="", help="a bug to put in (harness.faults.inject.plants)")
    parser.add_argument("--out", default="", help="directory for the report and the logs; by default a temporary one")
    arguments = parser.parse_args()
    directory = Path(arguments.out or tempfile.mkdtemp(prefix="faults-"))
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    status = asyncio.run(run(arguments, directory))
    if not arguments.out and status == 0:
        shutil.rmtree(directory)
    else:
        sys.stdout.write(f"report and logs: {directory}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
