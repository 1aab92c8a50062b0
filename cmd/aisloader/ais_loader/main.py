"""The program `aisloader`: prepare, load, report."""

import asyncio
import json
import signal
import sys
import time
from typing import Any

import statsd
import uvloop

from ais.base.errors import AisError
from ais_loader import arguments, naming, setup
from ais_loader.arguments import Plan
from ais_loader.measure import Measure
from ais_loader.report import Report, duration, open_output
from ais_loader.shares import ChildShare, OwnShare, Share

OK, FAILED, BAD_USAGE = 0, 1, 2


def main(argv: list[str] | None = None) -> int:
    """Run; exit status 0, 1 (it could not be done, or requests failed), 2 (bad flags)."""
    try:
        plan = arguments.parse(sys.argv[1:] if argv is None else argv)
    except AisError as error:
        sys.stderr.write(f"aisloader: {error}\n")
        return BAD_USAGE
    if plan.given["getloaderid"]:
        print(naming.loader_prefix(plan) or plan.loader_id)
        return OK
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(plan))
    except AisError as error:
        sys.stderr.write(f"\naisloader exited with error: {error}\n")
        return FAILED


async def _run(plan: Plan) -> int:
    begun = time.monotonic()
    async with setup.prepared(plan) as ready:
        _introduce(plan, len(ready.names))
        if plan.is_dry:
            return OK
        shares: list[Share]
        if plan.processes == 1:
            shares = [OwnShare(plan, ready.proxies, ready.names)]
        else:
            shares = [ChildShare(plan, ready.proxies, ready.names, part) for part in range(plan.processes)]
        status = await _watch(plan, shares)
        if plan.cleans_up:
            print(f"{time.strftime('%H:%M:%S')} Cleaning up...")
    print(f"{time.strftime('%H:%M:%S')} Done\n\nActual run duration: {duration(int((time.monotonic() - begun) * 1e9))}")
    return status


async def _watch(plan: Plan, shares: list[Share]) -> int:
    """Report while the shares work, and at their end."""
    output = open_output(plan.output)
    report, gauges = Report(output, is_json=plan.is_json), _Gauges(plan)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, shares)
    report.header()
    ended = asyncio.gather(*(share.wait() for share in shares))
    last = time.monotonic()
    while True:
        done, _ = await asyncio.wait([ended], timeout=plan.interval_s or None)
        measures, pending, errors = await _taken(shares)
        if done:
            break
        seconds, last = time.monotonic() - last, time.monotonic()
        report.interval(measures, pending, seconds)
        gauges.send(measures, pending)
    await ended
    report.end(measures)
    for text in dict.fromkeys(errors):
        sys.stderr.write(f"{text}\n")
    if plan.output:
        output.close()
    print(f"Stats written to {plan.output or '/dev/stdout'}")
    return FAILED if report.errors else OK


def _stop(shares: list[Share]) -> None:
    for share in shares:
        share.stop()


async def _taken(shares: list[Share]) -> tuple[dict[str, Measure], int, list[str]]:
    merged: dict[str, Measure] = {}
    pending, errors = 0, []
    for taken in await asyncio.gather(*(share.take() for share in shares)):
        for kind, one in taken.measures.items():
            merged.setdefault(kind, Measure()).merge(one)
        pending += taken.pending
        errors += taken.errors
    return merged, pending, errors


class _Gauges:
    """Counts and latencies to StatsD, when it is named."""

    def __init__(self, plan: Plan) -> None:
        self._client = statsd.StatsClient(*plan.statsd, prefix="aisloader") if plan.statsd else None

    def send(self, found: dict[str, Measure], pending: int) -> None:
        """What was measured in one interval."""
        if self._client is None:
            return
        for kind, one in found.items():
            name = kind.lower()
            self._client.incr(f"{name}.count", one.count)
            self._client.incr(f"{name}.bytes", one.size)
            self._client.incr(f"{name}.errors", one.errors)
            self._client.timing(f"{name}.latency", one.average_ns / 1e6)
            self._client.gauge(f"{name}.pending", pending)


def _introduce(plan: Plan, existing: int) -> None:
    if not plan.is_quiet:
        print("==== COMMAND LINE ARGUMENTS ====")
        for name, value in sorted(plan.given.items()):
            print(f"{name.replace('_', '-')}:\t{value}")
        print("=================================")
    print(f"Found {existing:,} existing object{'' if existing == 1 else 's'}\n\nRuntime configuration:")
    shown: dict[str, Any] = {
        "proxy" if not plan.is_s3 else "s3 endpoint": plan.endpoint,
        "bucket": plan.bucket.cname(),
        "duration": duration(int(plan.duration_s * 1e9)) if plan.duration_s else "-",
        "# workers": plan.workers,
        "stats interval": f"{plan.interval_s:g}s",
        "% PUT": plan.put_pct,
        "minimum object size (bytes)": plan.size_min,
        "maximum object size (bytes)": plan.size_max,
        "name-getter": f"epochs: {plan.epochs}" if plan.epochs else "random non-unique",
        "reader-type": "sg",
        "cleanup": plan.cleans_up,
    }
    if plan.processes > 1:
        shown["# processes"] = plan.processes
    print(json.dumps(shown, indent=3))
    if plan.cleans_up:
        print(f"\nBEWARE: cleanup is enabled, bucket {plan.bucket.cname()} will be destroyed upon termination!")


if __name__ == "__main__":
    sys.exit(main())
