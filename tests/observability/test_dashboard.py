"""The dashboard: valid, complete, and about metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from conductor_sidecar.metrics.catalogue import CATALOGUE
from expressions import DASHBOARD, LABELS, RULES, unknown
from promtool import promtool

BOARD: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
KINDS = {"row", "stat", "timeseries"}
WIDTH = 24


def panels() -> list[dict[str, Any]]:
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in panels():
        yield from ((panel["title"], target) for target in panel["targets"])


def plain(expression: str) -> str:
    """Replace what Grafana fills in."""
    filled = expression.replace("$__rate_interval", "5m")
    return filled.replace("$job", ".+").replace("$instance", ".+")


def test_every_expression_parses(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": plain(target["expr"])}
             for n, (_, target) in enumerate(targets())]  # fmt: skip
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", file)
    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_every_metric_and_label_exists() -> None:
    wrong = {title: unknown(plain(target["expr"])) for title, target in targets()}
    assert {} == {title: names for title, names in wrong.items() if names}


def test_a_metric_or_label_that_does_not_exist_is_found_out() -> None:
    assert ["conductor_sidecar_nonsense"] == unknown("rate(conductor_sidecar_nonsense[5m])")
    assert ["conductor_sidecar_lanes{kind}"] == unknown('conductor_sidecar_lanes{kind="a"}')
    assert ["pack"] == unknown("sum by (pack) (conductor_sidecar_lanes)")
    assert ["no metric at all"] == unknown("1 + 1")
    assert [] == unknown('sum by (job, state) (conductor_sidecar_lanes{state!="all"})')


def test_every_legend_names_labels_that_the_expression_leaves() -> None:
    for title, target in targets():
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            expression = target["expr"]
            grouped = re.search(r"\bby \(([^)]*)\)", expression)
            if grouped is not None:
                assert label in grouped[1], title
            elif label != "instance":
                assert any(label in LABELS[name] for name in LABELS if name in expression), title


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = " ".join(target["expr"] for _, target in targets()) + RULES.read_text("utf-8")
    variables = json.dumps(BOARD["templating"])
    missing = {metric.name for metric in CATALOGUE
               if not any(name in shown + variables for name in metric.series)}  # fmt: skip
    assert set() == missing


def test_panels_have_a_place_of_their_own_a_unit_and_a_sentence() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        assert panel["type"] in KINDS
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({panel["title"] for panel in panels()}) == len(panels())


def test_it_can_be_imported_anywhere() -> None:
    """No data source, host or number of one Grafana stands in it."""
    assert "id" not in BOARD
    assert "__inputs" not in BOARD
    sources = {json.dumps(target["datasource"]) for _, target in targets()}
    assert {json.dumps({"type": "prometheus", "uid": "${datasource}"})} == sources
    names = [variable["name"] for variable in BOARD["templating"]["list"]]
    assert ["datasource", "job", "instance"] == names
    for title, target in targets():
        assert '{job=~"$job", instance=~"$instance"' in target["expr"], title
