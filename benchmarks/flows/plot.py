"""The plot: what a run of the chain costs, by everybody, and how far each promise is kept.

Promise: the same results give the same bytes. Refusal: no number is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.flows.contenders import CONTENDERS
from benchmarks.flows.promises import TARGETS

_OURS, _OTHERS, _MISSED = "#2b6f9e", "#8a8f98", "#c2562d"
_TICKS = {1: "1 µs", 10: "10 µs", 100: "0.1 ms", 1e3: "1 ms", 1e4: "10 ms", 1e5: "0.1 s",
          1e6: "1 s"}  # fmt: skip


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Write the plot as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    style = {"svg.hashsalt": "conductor", "font.size": 9, "axes.spines.top": False,
             "axes.spines.right": False, "svg.fonttype": "none"}  # fmt: skip
    with mpl.rc_context(style):
        figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.4), layout="constrained")
        _chain(left, results["figures"])
        _promises(right, results["spread"])
        figure.savefig(path, format="svg", metadata={"Date": None})
        plt.close(figure)


def _chain(axes: Any, figures: Mapping[str, Any]) -> None:
    shown = [each for each in CONTENDERS if each.key in figures]
    rows = [each for each in shown if not each.durable], [each for each in shown if each.durable]
    labels: list[tuple[float, str]] = []
    row = 0.0
    for group in reversed(rows):
        for contender in reversed(group):
            figure = figures[contender.key]
            colour = _OURS if contender.key.startswith("ours") else _OTHERS
            axes.barh(row, figure["median"], color=colour, height=0.7)
            axes.plot([figure["min"], figure["max"]], [row, row], color="black", linewidth=1)
            text = as_time(figure["median"])
            axes.text(figure["max"] * 1.15, row, text, va="center")
            labels.append((row, contender.label.replace("`", "")))
            row += 1
        row += 0.6
    axes.set_yticks([at for at, _ in labels], [label for _, label in labels])
    axes.set_xscale("log")
    axes.set_xlim(1, max(figures[each.key]["max"] for each in shown) * 12)
    axes.set_xticks(list(_TICKS), list(_TICKS.values()))
    axes.set_xlabel("for ten nodes in a row (logarithmic); below the gap: every step is written")
    axes.set_title("What a chain of ten nodes costs (lines: least and most)", fontsize=10)


def as_time(microseconds: float) -> str:
    """Write a time with the unit that fits."""
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.3g} s"
    return f"{microseconds / 1e3:.3g} ms" if microseconds >= 1e3 else f"{microseconds:.3g} µs"


def _promises(axes: Any, spread: Mapping[str, Any]) -> None:
    shown = [target for target in TARGETS if target.key in spread]
    for row, target in enumerate(reversed(shown)):
        found = spread[target.key]
        value = target.achievement(found["median"])
        ends = sorted(target.achievement(found[end]) for end in ("min", "max"))
        colour = _OURS if target.met(found["median"]) else _MISSED
        axes.barh(row, value, color=colour, height=0.6)
        axes.plot(ends, [row, row], color="black", linewidth=1)
        unit = f" {target.unit}" if target.unit else ""
        text = f"{found['median']:.3g}{unit} (≤ {target.value:g})"
        axes.text(max(value, ends[1], 1) * 1.08, row, text, va="center")
    axes.set_yticks(range(len(shown)), [target.key for target in reversed(shown)])
    axes.axvline(1, color="black", linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(0.1, 300)
    axes.set_xlabel("times as good as the target, which is the dashed line (logarithmic)")
    axes.set_title("What is promised: measured (target)", fontsize=10)
