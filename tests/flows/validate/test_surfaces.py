"""Configurations of control surfaces, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from flow_documents import said, surface

AT = "/control_surfaces/0"
GOOD: dict[str, tuple[list[str], dict[str, Any]]] = {
    "for_each": (["work", "left"], {
        "source": "work", "items_pointer": "", "body_entry": "left", "body_exit": "left",
        "collect": "reply", "concurrency": 4}),
    "loop": (["work", "left"], {
        "source": "work", "body_entry": "left", "body_exit": "left",
        "condition_pointer": "/a~1b/~0", "max_iterations": 1}),
    "window": (["work", "left"], {
        "event_time_pointer": "/ts", "size_ms": 1, "allowed_lateness_ms": 0, "watermark": "m",
        "late": "right"}),
    "partition": (["work", "left"], {"edge": {"from": "work", "to": "left"}, "key": "id"}),
    "timeout": (["work"], {"scope": {"nodes": ["work"]}, "duration_ms": 0.5}),
    "rate_limit": (["work"], {"target": "work", "qps": 0.1, "burst": 1}),
    "error_handler": (["work"], {
        "scope": {"nodes": ["work"]}, "strategy": "retry", "max_retries": 1, "backoff_ms": 1}),
    "merge": (["left", "right", "reply"], {"sources": ["left", "right"], "ordering": "ordered"}),
    "join": (["left", "right", "reply"], {
        "sources": ["left", "right"], "key_pointer": "/id", "timeout_ms": 5}),
    "zip": (["left", "right", "reply"], {"sources": ["left", "right"]}),
}  # fmt: skip
FIELDS = [(kind, key) for kind, (_, config) in GOOD.items() for key in config]
OPTIONAL = {"body_exit", "collect", "concurrency", "allowed_lateness_ms", "watermark", "late",
            "max_retries", "backoff_ms", "ordering", "key_pointer", "timeout_ms"}  # fmt: skip


def of(kind: str, **changes: Any) -> list[tuple[str, str]]:
    targets, config = GOOD[kind]
    return said({"/control_surfaces": [surface(kind, targets, {"v": 1} | config | changes)]})


@pytest.mark.parametrize("kind", GOOD)
def test_a_whole_configuration_passes(kind: str) -> None:
    assert [] == of(kind)


@pytest.mark.parametrize(("kind", "key"), FIELDS)
def test_a_field_of_another_type_is_refused_where_it_stands(kind: str, key: str) -> None:
    assert ("CTRL130", f"{AT}/config/{key}") in [
        (code, "/".join(location.split("/")[:5])) for code, location in of(kind, **{key: False})
    ]


@pytest.mark.parametrize(("kind", "key"), [pair for pair in FIELDS if pair[1] not in OPTIONAL])
def test_a_missing_field_is_refused(kind: str, key: str) -> None:
    targets, config = GOOD[kind]
    lacking = {"v": 1} | {name: value for name, value in config.items() if name != key}

    found = said({"/control_surfaces": [surface(kind, targets, lacking)]})
    assert ("CTRL130", f"{AT}/config") in found


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("config", [None, 1, "v", [], {}, {"v": 2}, {"v": True}, {"v": "1"}])
def test_no_object_of_version_1_is_one_diagnostic(kind: str, config: Any) -> None:
    targets, _ = GOOD[kind]
    found = said({"/control_surfaces": [surface(kind, targets, config)]})

    assert ["CTRL130"] == [code for code, _ in found]


@pytest.mark.parametrize("kind", GOOD)
def test_an_unknown_target_is_named_once(kind: str) -> None:
    targets, config = GOOD[kind]
    ghostly = [*targets[:-1], "ghost", "ghost", targets[-1]]
    found = said({"/control_surfaces": [surface(kind, ghostly, {"v": 1} | config)]})

    assert [("CTRL131", f"{AT}/targets")] == found


@pytest.mark.parametrize(("kind", "changes", "expected"), [
    ("for_each", {"source": "ghost"}, ("CTRL131", f"{AT}/config/source")),
    ("for_each", {"body_entry": "ghost"}, ("CTRL131", f"{AT}/config/body_entry")),
    ("for_each", {"collect": "work"}, ("CTRL132", f"{AT}/config/collect")),
    ("loop", {"body_entry": "reply"}, ("CTRL132", f"{AT}/config/body_entry")),
    ("loop", {"condition_pointer": "/a~2"}, ("CTRL130", f"{AT}/config/condition_pointer")),
    ("partition", {"edge": {"from": "work", "to": "take"}}, ("CTRL132", f"{AT}/config/edge")),
    ("partition", {"edge": {"from": "work"}}, ("CTRL130", f"{AT}/config/edge")),
    ("partition", {"key": ""}, ("CTRL130", f"{AT}/config/key")),
    ("timeout", {"scope": {"nodes": ["ghost"]}}, ("CTRL131", f"{AT}/config/scope/nodes")),
    ("timeout", {"scope": {"nodes": ["work", 1]}}, ("CTRL130", f"{AT}/config/scope/nodes")),
    ("rate_limit", {"burst": -1}, ("CTRL130", f"{AT}/config/burst")),
    ("join", {"sources": ["left", "left"]}, ("CTRL130", f"{AT}/config/sources")),
    ("join", {"sources": ["left", "work"]}, ("CTRL132", f"{AT}/config/sources")),
    ("join", {"timeout_ms": 0}, ("CTRL130", f"{AT}/config/timeout_ms")),
    ("merge", {"ordering": "sideways"}, ("CTRL130", f"{AT}/config/ordering")),
    ("window", {"allowed_lateness_ms": -1}, ("CTRL130", f"{AT}/config/allowed_lateness_ms")),
    ("window", {"late": "ghost"}, ("CTRL131", f"{AT}/config/late")),
])  # fmt: skip
def test_a_field_out_of_range_is_refused(
    kind: str, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert [expected] == of(kind, **changes)


def test_a_gathering_without_a_target_is_refused() -> None:
    found = said({"/control_surfaces": [surface("zip", [], {"v": 1, "sources": ["left", "right"]})]}
                 )  # fmt: skip
    assert [("CTRL130", f"{AT}/targets")] == found


def test_an_unknown_source_of_an_if_is_a_bad_configuration() -> None:
    config = {"v": 1, "source": "ghost", "selector_pointer": "/x", "then": "left", "else": "right"}
    found = said({"/control_surfaces": [surface("if", ["ghost", "left", "right"], config)]})

    assert [("CTRL120", f"{AT}/config/source")] == found
