"""The plot: how far each promise is kept, and the rates behind the ratios.

Promise: the same results give the same bytes. Refusal: no number is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.targets import TARGETS

_KEPT = "#2b6f9e"
_MISSED = "#c2562d"
_PLAIN = "#8a8f98"
_RATES = {
    "raw_receive": ("raw recv(), 1 event a frame", _PLAIN),
    "durable_receive": ("durable receive", _KEPT),
    "durable_receive_filled": ("durable, filled log", _KEPT),
    "durable_receive_single": ("durable, 1 event a frame", _KEPT),
    "naive_receive": ("naive receive", _PLAIN),
    "drain": ("outbox drain", _KEPT),
    "one_by_one": ("drained one by one", _PLAIN),
    "push_concurrent": ("concurrent pushers", _KEPT),
    "push_sequential": ("one pusher", _PLAIN),
}


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Write the plot as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    style = {"svg.hashsalt": "conductor", "font.size": 9, "axes.spines.top": False,
             "axes.spines.right": False, "svg.fonttype": "none"}  # fmt: skip
    with mpl.rc_context(style):
        figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
        _promises(left, results)
        _rates(right, results)
        figure.savefig(path, format="svg", metadata={"Date": None})
        plt.close(figure)


def _promises(axes: Any, results: Mapping[str, Any]) -> None:
    shown = [target for target in TARGETS if target.key in results["spread"]]
    for row, target in enumerate(reversed(shown)):
        spread = results["spread"][target.key]
        value = target.achievement(spread["median"])
        ends = sorted(target.achievement(spread[end]) for end in ("min", "max"))
        colour = _KEPT if target.met(spread["median"]) else _MISSED
        axes.barh(row, value, color=colour, height=0.6)
        axes.plot(ends, [row, row], color="black", linewidth=1)
        sign = "≥" if target.bound == "at least" else "≤"
        text = f"{spread['median']:.3g} {target.unit} ({sign} {target.value:g})"
        axes.text(max(value, ends[1], 1) * 1.08, row, text.replace("  ", " "), va="center")
    axes.set_yticks(range(len(shown)), [target.key for target in reversed(shown)])
    axes.axvline(1, color="black", linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(0.05, 60)
    axes.set_xlabel("times as good as the target, which is the dashed line")
    axes.set_title("What is promised: measured (target)", fontsize=10)


def _rates(axes: Any, results: Mapping[str, Any]) -> None:
    figures = results["figures"]
    shown = [name for name in _RATES if name in figures]
    for row, name in enumerate(reversed(shown)):
        figure = figures[name]
        axes.barh(row, figure["median"], color=_RATES[name][1], height=0.6)
        axes.plot([figure["min"], figure["max"]], [row, row], color="black", linewidth=1)
        text = f" {figure['median']:,.0f}"
        axes.text(max(figure["median"], figure["max"]), row, text, va="center")
    axes.set_yticks(range(len(shown)), [_RATES[name][0] for name in reversed(shown)])
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.set_xlabel("events a second; grey: what it is compared with")
    axes.set_title("The rates behind it (lines: least and most)", fontsize=10)
