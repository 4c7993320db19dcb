"""Where numbers go: kept for tests, or into a registry of Prometheus with a bound on series."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from conductor_flows.execute.notices import Notice
from conductor_flows.measures.bounding import MOST, WINDOW_S
from conductor_flows.measures.prometheus import PrometheusRecorder
from conductor_flows.measures.snapshot import SnapshotRecorder

NODE = {"flow": "f", "node": "a", "profile": "dev"}


def route(number: int) -> dict[str, str]:
    return {"host": "web", "flow": "f", "route": f"/r{number}"}


def test_a_snapshot_answers_by_any_part_of_the_labels() -> None:
    recorder = SnapshotRecorder()
    for node, value in (("a", 1.0), ("b", 2.0), ("a", 4.0)):
        labels = NODE | {"node": node}
        recorder.observe("executor.node_latency_ms", labels, value)
        recorder.level("executor.active_nodes", labels, value)
        recorder.count("executor.stream_clients_total", labels)
    assert [1.0, 4.0] == recorder.observed("executor.node_latency_ms", node="a")
    assert [1.0, 4.0, 2.0] == recorder.observed("executor.node_latency_ms")
    assert 6.0 == recorder.level_of("executor.active_nodes", flow="f")
    assert 4.0 == recorder.highest("executor.active_nodes")
    assert (3, 1) == (
        recorder.counted("executor.stream_clients_total"),
        recorder.counted("executor.stream_clients_total", node="b"),
    )


def test_a_snapshot_refuses_what_the_catalogue_does_not_have() -> None:
    recorder = SnapshotRecorder()
    with pytest.raises(KeyError):
        recorder.count("executor.unheard_of_total", NODE)
    with pytest.raises(ValueError, match="is a gauge with the labels"):
        recorder.count("executor.active_nodes", NODE)
    with pytest.raises(ValueError, match="is a gauge with the labels"):
        recorder.level("executor.active_nodes", NODE | {"run_id": "r"}, 1)


def test_prometheus_has_the_numbers_under_names_with_underscores() -> None:
    registry = CollectorRegistry()
    recorder = PrometheusRecorder(registry)
    recorder.count("executor.node_errors_total", NODE | {"error_kind": "handler_error"}, 2)
    recorder.level("executor.active_nodes", NODE, 3)
    recorder.observe("executor.node_latency_ms", NODE, 7.0)
    text = generate_latest(registry).decode()
    labels = 'flow="f",node="a",profile="dev"'
    bucket = 'flow="f",le="10.0",node="a",profile="dev"'
    for line in (
        f'latticeflow_executor_node_errors_total{{error_kind="handler_error",{labels}}} 2.0',
        f"latticeflow_executor_active_nodes{{{labels}}} 3.0",
        f"latticeflow_executor_node_latency_ms_bucket{{{bucket}}} 1.0",
        f"latticeflow_executor_node_latency_ms_sum{{{labels}}} 7.0",
    ):
        assert line in text.splitlines()


class Prometheus:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.notices: list[Notice] = []
        self.now = 0.0
        self.recorder = PrometheusRecorder(
            self.registry, tell=self.notices.append, clock=lambda: self.now
        )

    def requests(self, number: int) -> None:
        labels = route(number) | {"status_class": "2xx"}
        self.recorder.count("host.http_requests_total", labels)

    def series(self) -> dict[str, float]:
        found = self.registry.collect()
        return {
            sample.labels["route"]: sample.value
            for metric in found
            for sample in metric.samples
            if sample.name == "latticeflow_host_http_requests_total"
        }


def test_a_label_with_too_many_values_is_bounded_and_told_of_once() -> None:
    world = Prometheus()
    for number in range(MOST + 50):
        world.requests(number)
    assert MOST + 1 == len(world.series())
    assert 50.0 == world.series()["_other"]
    assert [("METRIC201", "latticeflow.host.http_requests_total, label route")] == [
        (notice.code, notice.where) for notice in world.notices
    ]
    world.requests(0)  # a known one is counted as itself
    assert 2.0 == world.series()["/r0"]


def test_series_that_were_not_used_make_room() -> None:
    world = Prometheus()
    for number in range(MOST):
        world.requests(number)
    world.now = WINDOW_S - 1
    world.requests(0)
    world.now = WINDOW_S
    world.requests(MOST)
    assert ["/r0", f"/r{MOST}"] == sorted(world.series())
    assert [] == world.notices
