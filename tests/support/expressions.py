"""What PromQL expressions name, compared with the catalogue of metrics."""

from __future__ import annotations

import re
from typing import Any

import yaml

from conductor_sidecar.metrics.catalogue import CATALOGUE, PROCESS
from house import ROOT

RULES = ROOT / "observability/prometheus/alerts.yml"
DASHBOARD = ROOT / "observability/grafana/conductor-sidecar.json"
EVERYWHERE = {"job", "instance"}
LABELS = {"up": set[str](), **{name: set[str]() for name in PROCESS}} | {
    name: {*metric.labels, *({"le"} if name.endswith("_bucket") else set[str]())}
    for metric in CATALOGUE
    for name in metric.series
}
"""The labels of each series, but those that Prometheus adds."""
_SELECTOR = re.compile(r"\b((?:conductor_sidecar|process)_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def unknown(expression: str) -> list[str]:
    """Return what an expression names that does not exist: metrics, labels."""
    found: list[str] = []
    known = set(EVERYWHERE)
    named = _SELECTOR.findall(expression)
    for name, matchers in named:
        labels = LABELS.get(name)
        if labels is None:
            found.append(name)
            continue
        known |= labels
        found += [f"{name}{{{label}}}" for label in _MATCHER.findall(matchers)
                  if label not in labels | EVERYWHERE]  # fmt: skip
    for group in _GROUPED.findall(expression):
        found += [label for label in re.findall(r"\w+", group) if label not in known]
    return found if named else ["no metric at all"]
