"""One snapshot as rows: every metric of the catalogue, few labels, sums that hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from conductor_handlers.errors import HandlerFailed, HandlerTimeout, PayloadInvalid
from conductor_protocol.liveness import Heard
from conductor_sdk.handler import Handled, Ignored, Reject, Replayed, Retry
from conductor_sdk.records import Cursor, KindCounts
from conductor_sidecar.health.answers import Code, Health, HealthReport, Reason
from conductor_sidecar.metrics import catalogue as names
from conductor_sidecar.metrics.catalogue import CATALOGUE, Metric
from conductor_sidecar.metrics.exposition import expose
from conductor_sidecar.metrics.rows import CODES_MAX, Reading, StoreReading, folded, rows
from conductor_sidecar.metrics.tallies import BOUNDS, SERIES_MAX, Buckets, HandlerTally, Tallies
from conductor_sidecar.report import LinkReport, OutboxReport, PackReport, StatusReport
from watch_world import samples_of

COUNTS = KindCounts(9, 3, 1, {"unhandled": 2, "rejected": 1}, 2, 5, 6)


def status(**changes: Any) -> StatusReport:
    report = StatusReport(
        workspace="/somewhere", running=True, version="1", cursor=Cursor("e", 7), backlog=1,
        lanes={"lanes": 2, "ready": 1, "running": 3, "waiting": 1, "jobs": 4},
        outbox=OutboxReport(2, 300, 1.5, 1), dead_letters=2, approvals_pending=1,
        inbound={"a:b": COUNTS}, outbound={"c:d": COUNTS}, balanced=True,
        packs=[PackReport("a", "1", "loaded"), PackReport("z", "1", "refused")],
        refusals={"OUT_OF_ORDER": 2},
    )  # fmt: skip
    return msgspec.structs.replace(report, **changes)


def health(*codes: Code) -> HealthReport:
    reasons = tuple(Reason(code, "words") for code in codes)
    return HealthReport(
        Health(True, "live"), Health(not codes, "not_ready" if codes else "ready", reasons),
        Health(True, "hearing"),
    )  # fmt: skip


def reading(**changes: Any) -> Reading:
    tallies = Tallies()
    tallies.handlers.ran("pack", "a:b", Handled(), 0.003)
    tallies.tools.called("x:y", "success", 0.2)
    given: dict[str, Any] = {
        "status": status(), "link": LinkReport("open", "websocket", "ws://somewhere", "s", None, 4),
        "health": health(), "heard": Heard(12, 7, 100, 50.0), "now": 52.5,
        "kinds": {"a:b", "c:d"}, "tallies": tallies,
        "stores": (StoreReading("sidecar.db", 3, 1, Buckets(), 4096),), "journal_entries": 5,
        "ends": {"DEAF": 2}, "failures": {"STORE_FULL": 1}, "gaps": 1, "suppressed": 8,
        "build": ("1", "3.11", "3.40", "websocket"),
    }  # fmt: skip
    return Reading(**{**given, **changes})


def values(given: Reading) -> dict[tuple[str, ...], float]:
    body, _ = expose(rows(given), "")
    return samples_of(body.decode())


def of(metric: Metric, given: Reading) -> Mapping[tuple[str, ...], Any]:
    return {row.labels: row.value for row in rows(given) if row.metric is metric}


def test_every_metric_of_the_catalogue_is_exported_and_nothing_else() -> None:
    found = {name for name, *_ in values(reading())}
    assert names.series() == found | set(names.PROCESS)
    assert len(CATALOGUE) == len({metric.name for metric in CATALOGUE})


def test_every_metric_says_what_it_is_and_has_a_name_that_prometheus_takes() -> None:
    for metric in CATALOGUE:
        assert metric.name.startswith("conductor_sidecar_")
        assert metric.name.replace("_", "").isalnum()
        assert metric.name == metric.name.lower()
        assert metric.help.endswith(".")
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")


def test_the_conservation_law_holds_in_what_is_exported() -> None:
    found = values(reading())
    for direction, kind in (("inbound", "a:b"), ("outbound", "c:d")):
        accepted, delivered, buffered, dead = (
            found[(f"conductor_sidecar_events_{name}", direction, kind)]
            for name in ("accepted_total", "delivered_total", "buffered", "dead_lettered")
        )
        dropped = sum(
            value for key, value in found.items()
            if key[:3] == ("conductor_sidecar_events_dropped_total", direction, kind)
        )  # fmt: skip
        assert accepted == delivered + buffered + dropped + dead == 9


def test_kinds_that_no_pack_declares_are_one_label_and_lose_no_event() -> None:
    strange = {f"x:{number}": COUNTS for number in range(50)}
    found = folded({"": COUNTS, "a:b": COUNTS, **strange}, {"a:b"})
    assert {"a:b", "other"} == set(found)
    assert 51 * 9 == found["other"].accepted
    assert {"unhandled": 102, "rejected": 51} == found["other"].dropped
    assert found["other"].balanced


def test_codes_that_a_conductor_chooses_are_one_label() -> None:
    refusals = {f"PEER_{number}": 1 for number in range(1000)} | {"REPEATED": 3}
    found = of(names.REFUSALS, reading(status=status(refusals=refusals)))
    assert {("PEER",): 1000, ("REPEATED",): 3} == found


def test_no_number_of_codes_makes_more_than_a_hundred_series() -> None:
    found = of(names.LINK_ENDS, reading(ends={f"CODE_{n}": 2 for n in range(500)}))
    assert (CODES_MAX, 1000) == (len(found), sum(found.values()))


def test_lag_and_age_come_from_what_was_heard() -> None:
    found = values(reading())
    assert 5 == found[("conductor_sidecar_link_lag_events",)]
    assert 2.5 == found[("conductor_sidecar_link_heard_age_seconds",)]
    assert 100 == found[("conductor_sidecar_link_credit_events",)]
    silent = values(reading(heard=None))
    assert ("conductor_sidecar_link_heard_age_seconds",) not in silent
    assert 0 == silent[("conductor_sidecar_link_credit_events",)]
    assert 0 == values(reading(heard=Heard(None, 7, 1, 0)))[("conductor_sidecar_link_lag_events",)]


def test_every_reason_of_health_has_a_series_and_those_that_hold_are_one() -> None:
    found = of(names.HEALTH_REASON, reading(health=health(Code.DISK_FULL, Code.LINK_DOWN)))
    assert {str(code) for code in Code} == {code for (code,) in found}
    assert {"disk_full", "link_down"} == {code for (code,), value in found.items() if value}
    checks = of(names.HEALTH, reading(health=health(Code.DISK_FULL)))
    assert {("live",): True, ("ready",): False, ("hearing",): True} == checks


def test_a_duration_is_counted_in_the_bucket_that_ends_at_it() -> None:
    buckets = Buckets()
    for seconds in (0.0, BOUNDS[0], BOUNDS[3], 1e9):
        buckets.add(seconds)
    assert [2, 0, 0, 1] == buckets.counts[:4]
    assert 1 == buckets.counts[-1]
    tallies = Tallies()
    tallies.loop_lag.add(0.02)
    tallies.loop_lag.add(0.7)
    found = values(reading(tallies=tallies))
    stem = "conductor_sidecar_loop_lag_seconds"
    assert (2, 0.72) == (found[(f"{stem}_count",)], round(found[(f"{stem}_sum",)], 6))
    assert [0, 1, 1, 2, 2] == [
        found[(f"{stem}_bucket", bound)] for bound in ("0.01", "0.025", "0.5", "1.0", "+Inf")
    ]


def test_the_outcome_of_an_attempt_is_one_of_seven_words() -> None:
    tally = HandlerTally()
    answers = (Handled(), Replayed(), Ignored(), Retry("r"), Reject("r"), HandlerTimeout("t"),
               HandlerFailed("f"), PayloadInvalid("p"))  # fmt: skip
    for answer in answers:
        tally.ran("pack", "a:b", answer, 0.0)
    assert {"handled", "replayed", "ignored", "retry", "rejected", "timeout", "failed"} == {
        outcome for _, _, outcome in tally.cells
    }
    assert 2 == sum(tally.cells[("pack", "a:b", "failed")].counts)


def test_no_number_of_kinds_makes_a_table_grow_for_ever() -> None:
    tally = HandlerTally()
    for number in range(SERIES_MAX + 500):
        tally.ran("pack", f"a:k{number}", Handled(), 0.0)
    assert SERIES_MAX + 1 == len(tally.cells)
    assert 500 == sum(tally.cells[("other", "other", "other")].counts)


def test_openmetrics_is_answered_to_whoever_asks_whatever_else_stands_in_the_header() -> None:
    plain, kind = expose(rows(reading()), "text/plain;version=0.0.4")
    assert kind.startswith("text/plain; version=0.0.4")
    assert not plain.endswith(b"# EOF\n")
    for rest in ("; version=1.0.0", ";x=\0", "; version=junk, */*"):
        accept = f"application/openmetrics-text{rest}"
        body, kind = expose(rows(reading()), accept)
        assert kind.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
