"""`MORE.md` from `more-results.json` alone, a section for each part.

Promise: the same results give the same text. Refusal: nothing is measured here, and no reason is
invented: reasons stand in `more_parts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.more_parts import PARTS, Part
from benchmarks.report import QUIET_LOAD
from benchmarks.targets import Target

INTRODUCTION = """\
# More benchmarks

`python -m benchmarks.more [PART ...]` measures this on your machine and writes this file anew.
Both sides of a ratio are measured in the same round of one run; a ratio is the median of its
rounds, the spread is the least and the most. Rates and times are of this machine only.
"""


def render(results: Mapping[str, Any]) -> str:
    """Return the report; parts that were never measured are left out."""
    parts = [
        "\n".join(_section(PARTS[name], section)) for name, section in results.items()
    ]  # fmt: skip
    return "\n".join([INTRODUCTION, *parts])


def _section(part: Part, section: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {part.title}\n"
    yield from _targets(part, section["spread"])
    yield from _ratios(part, section["spread"])
    yield from _figures(part, section["figures"])
    yield part.method
    yield from _machine(section)


def _targets(part: Part, spread: Mapping[str, Any]) -> Iterator[str]:
    found = [(target, spread[target.key]) for target in part.targets if target.key in spread]
    if not found:
        return
    yield "| Key | What | Target | Measured | Spread | |"
    yield "|---|---|---|---|---|---|"
    for target, figure in found:
        verdict = "met" if target.met(figure["median"]) else "**not met**"
        yield (
            f"| `{target.key}` | {target.meaning} | {_bound(target)} | "
            f"{_number(figure['median'])} {target.unit} | {_spread(figure)} | {verdict} |"
        )
    yield ""
    for target, figure in found:
        if not target.met(figure["median"]):
            yield f"- `{target.key}`: {target.reason}\n"


def _ratios(part: Part, spread: Mapping[str, Any]) -> Iterator[str]:
    yield "| Ratio | What | Median | Spread | Runs |"
    yield "|---|---|---:|---|---:|"
    for key, (_, _, meaning) in part.ratios.items():
        if key in spread:
            figure = spread[key]
            yield (
                f"| `{key}` | {meaning} | {_number(figure['median'])} | {_spread(figure)} | "
                f"{len(figure['runs'])} |"
            )
    yield ""


def _figures(part: Part, figures: Mapping[str, Any]) -> Iterator[str]:
    yield "| Figure | Median | Least | Most | Runs | |"
    yield "|---|---:|---:|---:|---:|---|"
    named = [name for name in part.figures if name in figures]
    for name in [*named, *(name for name in figures if name not in part.figures)]:
        figure = figures[name]
        numbers = " | ".join(_number(figure[key]) for key in ("median", "min", "max"))
        title = part.figures.get(name, name.replace("_", " "))
        yield f"| {title} | {numbers} | {len(figure['runs'])} | {figure['unit']} |"
    yield ""


def _machine(section: Mapping[str, Any]) -> Iterator[str]:
    machine, load, versions = section["machine"], section["load_average"], section["versions"]
    yield (
        f"{section['date'][:10]}, {section['took_s']} s: {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gb']:g} GB, {machine['system']}; python "
        f"{versions['python']}, sqlite {versions['sqlite']}; the load average was "
        f"{load['least']:.2f} to {load['most']:.2f}."
    )
    if load["least"] > QUIET_LOAD:
        yield "Other programs kept the machine busy: times are longer and ratios less certain."
    yield ""


def _bound(target: Target) -> str:
    return f"{'≥' if target.bound == 'at least' else '≤'} {target.value:g} {target.unit}".rstrip()


def _spread(figure: Mapping[str, Any]) -> str:
    return f"{_number(figure['min'])} to {_number(figure['max'])}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
