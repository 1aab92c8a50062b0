"""Tables and the plot of a benchmark run."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Row(Protocol):
    """One scenario against one server."""

    scenario: str
    server: str
    rates: tuple[float, ...]
    rate: float
    cpu_us: float
    p50_us: float
    p99_us: float
    errors: int


def size(size_bytes: int) -> str:
    """4096 -> `4 KiB`."""
    return f"{size_bytes >> 20} MiB" if size_bytes >= 1 << 20 else f"{size_bytes >> 10} KiB"


def progress(rows: Sequence[Row]) -> None:
    """One line per finished scenario and server."""
    for row in rows:
        errors = f"  {row.errors} ERRORS" if row.errors else ""
        print(f"{row.scenario:32} {row.server:6} {row.rate:10,.0f}/s {row.cpu_us:9,.1f} us CPU{errors}", flush=True)


def table(rows: Sequence[Row]) -> str:
    """Markdown: per scenario both servers, their ratio (median, lowest, highest round), CPU per request, latencies."""
    columns = (
        "scenario", "nginx req/s", "ais req/s", "ratio", "lowest-highest",
        "nginx µs CPU", "ais µs CPU", "ais p50 ms", "ais p99 ms", "errors",
    )  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    by_scenario: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_scenario.setdefault(row.scenario, {})[row.server] = row
    for scenario, pair in by_scenario.items():
        nginx, ais = pair["nginx"], pair["ais"]
        ratios = _ratios(ais, nginx)
        lines.append(
            f"| {scenario} | {nginx.rate:,.0f} | {ais.rate:,.0f} | {statistics.median(ratios):.2f} |"
            f" {min(ratios):.2f}-{max(ratios):.2f} | {nginx.cpu_us:,.1f} |"
            f" {ais.cpu_us:,.1f} | {ais.p50_us / 1e3:.2f} | {ais.p99_us / 1e3:.2f} | {nginx.errors + ais.errors} |"
        )
    for name in ("nginx", "ais"):
        alone = by_scenario.get("get 4 KiB alone", {}).get(name)
        if alone is not None:
            shares = [
                f"{scenario.removeprefix('get 4 KiB ')}: {pair[name].rate / alone.rate:.0%}"
                for scenario, pair in by_scenario.items()
                if scenario.startswith("get 4 KiB beside")
            ]
            lines += ["", f"4 KiB GETs of {name} keep of their lone rate: " + ", ".join(shares)]
    return "\n".join(lines) + "\n"


def _ratios(ais: Row, nginx: Row) -> list[float]:
    """ais / nginx, round by round: what disturbs the machine for longer than a round disturbs both."""
    return [one / other for one, other in zip(ais.rates, nginx.rates, strict=True)]


def plot(rows: Sequence[Row], path: Path) -> None:
    """Bars of ais / nginx per scenario, with the line of equality."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scenarios = list(dict.fromkeys(row.scenario for row in rows))
    found = {(row.scenario, row.server): row for row in rows}
    ratios = [statistics.median(_ratios(found[one, "ais"], found[one, "nginx"])) for one in scenarios]
    figure, axes = pyplot.subplots(figsize=(9, 0.45 * len(scenarios) + 1.2))
    bars = axes.barh(scenarios, ratios, color="#4477aa")
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("requests per second, ais / nginx (one core, one run)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
