"""`FLOWS.md`, `results.json` and the plot.

Promise: the report is made from the results alone, and the same results give the same text.
Refusal: nothing is measured here, and no reason is invented: reasons stand in `promises`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.bench import Figure
from benchmarks.flows.contenders import CONTENDERS
from benchmarks.flows.method import INTRODUCTION, METHOD
from benchmarks.flows.plot import as_time, draw
from benchmarks.flows.promises import CHAIN, DURABLE, FIGURES, TARGETS, Ratio, divided
from benchmarks.flows.session import Session
from benchmarks.report import QUIET_LOAD

FOLDER, RESULTS, PLOT, REPORT = "flows", "results.json", "results.svg", "FLOWS.md"


def build(session: Session, machine: Mapping[str, Any], took_s: float) -> dict[str, Any]:
    """Put together what is written."""
    found: dict[str, Figure | None] = {each.key: each.compute(session) for each in TARGETS}
    found |= {each.key: divided(session, each.above, each.below) for each in (*CHAIN, *DURABLE)}
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **machine,
        "peers": session.versions,
        "notes": session.notes,
        "took_s": round(took_s),
        "load_average": {"least": min(session.loads), "most": max(session.loads)},
        "spread": {key: each.as_json() for key, each in found.items() if each is not None},
        "figures": {name: figure.as_json() for name, figure in session.figures().items()},
    }


def write(results: Mapping[str, Any], directory: Path) -> None:
    """Write all three."""
    folder = directory / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / RESULTS).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (directory / REPORT).write_text(render(results), encoding="utf-8")
    draw(results, folder / PLOT)


def render(results: Mapping[str, Any]) -> str:
    """Return the report."""
    spread, figures = results["spread"], results["figures"]
    parts = [
        INTRODUCTION, "\n".join(_promises(spread)), "\n".join(_missed(spread)),
        f"![What a chain costs, and what is promised]({FOLDER}/{PLOT})\n",
        "## A chain of ten nodes\n", "\n".join(_chain(figures)),
        "\n".join(_ratios(CHAIN, spread)), "\n".join(_missing(results["notes"])),
        "## Written down, taken up, spilled\n", "\n".join(_ratios(DURABLE, spread)),
        "## The figures behind it\n", "\n".join(_figures(figures)), METHOD,
        "\n".join(_machine(results)),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _promises(spread: Mapping[str, Any]) -> Iterator[str]:
    yield "| Key | What | Target | Measured | Spread | |"
    yield "|---|---|---|---|---|---|"
    for target in TARGETS:
        found = spread.get(target.key)
        unit = f" {target.unit}" if target.unit else ""
        what = f"| `{target.key}` | {target.meaning} | ≤ {target.value:g}{unit} |"
        if found is None:
            yield f"{what} not measured | | |"
            continue
        verdict = "met" if target.met(found["median"]) else "**not met**"
        yield f"{what} {_number(found['median'])}{unit} | {_spread(found)} | {verdict} |"
    yield ""


def _missed(spread: Mapping[str, Any]) -> Iterator[str]:
    missed = [each for each in TARGETS
              if each.key in spread and not each.met(spread[each.key]["median"])]  # fmt: skip
    if missed:
        yield "What is not met, and why:\n"
        for target in missed:
            yield f"- `{target.key}`: {target.reason}"
        yield ""


def _chain(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "| Who | Ten nodes | Least | Most | Processor time | Rounds | What it keeps |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for contender in CONTENDERS:
        if contender.key in figures:
            found = figures[contender.key]
            times = [found[key] for key in ("median", "min", "max")]
            times.append(figures[f"{contender.key}_cpu"]["median"])
            numbers = " | ".join(as_time(each) for each in times)
            ours = contender.key.startswith("ours")
            label = f"**{contender.label}**" if ours else contender.label
            yield f"| {label} | {numbers} | {len(found['runs'])} | {contender.keeps} |"
    yield ""


def _missing(notes: Mapping[str, str]) -> Iterator[str]:
    peers = dict.fromkeys(each.peer or "bare asyncio" for each in CONTENDERS)
    found = [(peer, notes[peer]) for peer in peers if peer in notes]
    if found:
        yield "Not measured here:\n"
        for peer, reason in found:
            yield f"- {peer}: {reason}"
        yield ""


def _ratios(ratios: Iterable[Ratio], spread: Mapping[str, Any]) -> Iterator[str]:
    yield "| Ratio | What | Median | Spread | Rounds |"
    yield "|---|---|---:|---|---:|"
    for ratio in ratios:
        if ratio.key in spread:
            found = spread[ratio.key]
            yield (
                f"| `{ratio.key}` | {ratio.meaning} | {_number(found['median'])} | "
                f"{_spread(found)} | {len(found['runs'])} |"
            )
    yield ""


def _figures(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "| Figure | Median | Least | Most | Runs | |"
    yield "|---|---:|---:|---:|---:|---|"
    for name, title in FIGURES.items():
        if name in figures:
            found = figures[name]
            numbers = " | ".join(_number(found[key]) for key in ("median", "min", "max"))
            yield f"| {title} | {numbers} | {len(found['runs'])} | {found['unit']} |"
    yield ""


def _machine(results: Mapping[str, Any]) -> Iterator[str]:
    machine, load = results["machine"], results["load_average"]
    versions = {**results["versions"], **results["peers"]}
    yield "## The machine\n"
    yield (
        f"{results['date'][:10]}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']:g} GB, {machine['system']}; "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + f"; SQLite's journal mode is `{results['notes'].get('journal mode', 'not told')}`. The "
        f"run took {results['took_s']} s; the load average was {load['least']:.2f} to "
        f"{load['most']:.2f}."
    )
    if load["least"] > QUIET_LOAD:
        yield (
            "\nOther programs kept the machine busy during the whole run: times are longer and "
            "rates lower than it can do, and ratios are less certain."
        )
    yield ""


def _spread(found: Mapping[str, Any]) -> str:
    return f"{_number(found['min'])} to {_number(found['max'])}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
