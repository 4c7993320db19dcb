"""PackManifest, its YAML and the rules for loading."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack_errors import ManifestInvalid, YamlRefused
from conductor_sdk.pack_rules import validate
from conductor_sdk.yaml12 import load_yaml

QUICKSTART = """
id: acme-demo
slug: acme-demo
version: 0.1.0
config_key: acme_demo
task_types: []
tools: []
policies: []
evidence_types: []
state_aliases: {}
lane_templates: []
emitted_event_kinds: ['acme-demo:job_completed']
subscribed_event_kinds: ['conductor:recovery_requested']
required_approvals: []
surfaces_required: ['http']
backpressure_policy:
  'acme-demo:job_completed': 'ephemeral'
"""
TOOL = {
    "name": "fs:read",
    "entry": "tools/fs_read.py#run",
    "permission": "write",
    "required_scopes": [
        {"type": "path", "pattern": "docs/**", "access": "write"},
        {"type": "network", "posture": "allowlist", "allowlist_entries": ["example.test:443"]},
    ],
    "required_env": ["API_KEY"],
    "internal_only": True,
    "input_schema": {"type": "object"},
}


async def handle(event: KernelEvent, ctx: object) -> Outcome:
    return Handled()


def manifest(**fields: Any) -> PackManifest:
    return PackManifest.from_mapping({"id": "acme-demo", "version": "0.1.0", **fields})


def problems_of(fields: Mapping[str, Any]) -> dict[str, str]:
    with pytest.raises(ManifestInvalid) as caught:
        PackManifest.from_mapping({"id": "acme-demo", "version": "0.1.0", **fields})
    listed: Any = caught.value.data["problems"]
    return {problem["pointer"]: problem["message"] for problem in listed}


def test_the_quickstart_manifest_loads_from_yaml(tmp_path: Path) -> None:
    file = tmp_path / "manifest.yaml"
    file.write_text(QUICKSTART)
    loaded = PackManifest.from_yaml(file)
    assert loaded.emitted_event_kinds == ("acme-demo:job_completed",)
    assert loaded.backpressure_policy == {"acme-demo:job_completed": "ephemeral"}
    assert validate(loaded, {"conductor:recovery_requested": handle}) == []


def test_a_short_manifest_gets_the_documented_defaults() -> None:
    loaded = manifest()
    assert loaded.slug == "acme-demo"
    assert loaded.surfaces_required == ("http",)
    assert loaded.task_types == ()


def test_every_part_of_a_full_manifest_is_kept() -> None:
    loaded = manifest(
        tools=[TOOL],
        policies=[{"id": "p", "trigger": "on_tool_request", "decision": "allow"}],
        evidence_types=["trace"],
        state_aliases={"active": "in_progress"},
        lane_templates=[{"id": "core", "title": "Core"}],
        capability_factory="factories.py#capabilities",
        policy_factory="acme.factories:policies",
        config_schema="config.schema.json",
        required_approvals=["acme-demo:job_destroy"],
    )
    again = PackManifest.model_validate_json(loaded.model_dump_json())
    assert again == loaded
    assert loaded.tools[0].required_env == ("API_KEY",)
    assert [scope.type for scope in loaded.tools[0].required_scopes] == ["path", "network"]


def test_a_manifest_cannot_be_changed() -> None:
    loaded = manifest(task_types=["task"])
    with pytest.raises(ValueError, match="frozen"):
        loaded.slug = "other"  # type: ignore[misc]
    assert isinstance(loaded.task_types, tuple)


@pytest.mark.parametrize(
    ("fields", "pointer", "message"),
    [
        (
            {"emited_event_kinds": []},
            "/emited_event_kinds",
            "unknown key; did you mean emitted_event_kinds?",
        ),
        ({"version": 0.1}, "/version", "Input should be a valid string"),
        (
            {"slug": "Bad"},
            "/slug",
            "a slug is lower-case words joined by hyphens: acme-demo",
        ),
        ({"task_types": ["a", "a"]}, "/task_types", "'a' stands twice"),
        (
            {"backpressure_policy": {"acme-demo:a": "maybe"}},
            "/backpressure_policy/acme-demo:a",
            "Input should be 'queue' or 'ephemeral'",
        ),
        ({"tools": [{**TOOL, "entry": "../x.py"}]}, "/tools/0/entry", "leads outside of the pack"),
        ({"tools": [{**TOOL, "entry": "/x.py"}]}, "/tools/0/entry", "leads outside of the pack"),
        ({"tools": [{**TOOL, "retries": 3}]}, "/tools/0/retries", "unknown key"),
        (
            {"tools": [{**TOOL, "required_scopes": [{"type": "path", "pattern": "a"}]}]},
            "/tools/0/required_scopes/0/access",
            "required",
        ),
        (
            {"tools": [{**TOOL, "required_scopes": [{"type": "network", "posture": "allowlist"}]}]},
            "/tools/0/required_scopes/0",
            "an allowlist needs allowlist_entries",
        ),
        ({"state_aliases": {"a/b": 1}}, "/state_aliases/a~1b", "Input should be a valid string"),
    ],
)
def test_a_bad_field_is_named_by_its_json_pointer(
    fields: dict[str, Any], pointer: str, message: str
) -> None:
    assert {pointer: message} == problems_of(fields)


def test_all_bad_fields_are_reported_together() -> None:
    found = problems_of({"version": "one", "colour": "red", "tools": "none"})
    assert {"/version", "/colour", "/tools"} == set(found)


def test_a_missing_file_is_a_coded_refusal(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="No such file"):
        PackManifest.from_yaml(tmp_path / "manifest.yaml")


def test_yaml_keeps_what_version_1_2_calls_strings() -> None:
    text = b"a: no\nb: 12:30\nc: 2026-01-01\nd: 1_000\ne: 010\nf: 0o17\ng: 0x1F\nh: ~\ni: true\n"
    expected = {
        "a": "no", "b": "12:30", "c": "2026-01-01", "d": "1_000", "e": 10, "f": 15, "g": 31,
        "h": None, "i": True,
    }  # fmt: skip
    assert expected == load_yaml(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"a: 1\nb: 2\na: 3", "line 3: 'a' stands twice"),
        (b"a: &x 1\nb: *x", "line 1: an anchor or alias"),
        (b"a: !!python/name:os.system x", "line 1: a tag"),
        (b"1: a", "line 1: a key is not a string"),
        (b"[" * 5000, "nested deeper than 64"),
        (b"a: 1\n---\nb: 2", "line 2: but found another document"),
        (b"a: \xff", "byte 3 is not UTF-8"),
        (b"a: [", "line 2: did not find expected node content"),
        (b"a: " + b"9" * 5000, "Exceeds the limit"),
        (b"a" * 300_000, "more than 262144 bytes"),
        (b"a: \x00", "unacceptable character"),
    ],
)
def test_yaml_that_is_not_plain_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(YamlRefused) as caught:
        load_yaml(text)
    assert why in caught.value.message


def reason_to_refuse(text: bytes) -> str:
    try:
        load_yaml(text)
    except YamlRefused as error:
        return error.detail
    return "none: it was read"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_a_reason(text: bytes) -> None:
    assert reason_to_refuse(text) != ""


def test_every_reason_against_a_pack_is_reported_at_once() -> None:
    loaded = manifest(
        emitted_event_kinds=["acme-demo:done", "other:done", "acme-demo:BadName"],
        subscribed_event_kinds=["conductor:recovery_requested"],
        backpressure_policy={"acme-demo:done": "queue", "acme-demo:gone": "queue"},
        surfaces_required=["sidekick-channel"],
        required_approvals=["acme-demo:destroy"],
    )
    found = validate(loaded, {"conductor:other": handle})
    expected = [
        ("PACK_SLUG_MISMATCH", "other:done"),
        ("BACKPRESSURE_MISSING", "other:done"),
        ("MANIFEST_INVALID", "acme-demo:BadName"),
        ("BACKPRESSURE_MISSING", "acme-demo:BadName"),
        ("BACKPRESSURE_EXTRA", "acme-demo:gone"),
        ("HANDLER_MISSING", "conductor:recovery_requested"),
        ("HANDLER_EXTRA", "conductor:other"),
        ("SURFACE_UNAVAILABLE", "sidekick-channel"),
        ("APPROVAL_PROVIDER_MISSING", "acme-demo:destroy"),
    ]
    assert expected == [(problem.code, problem.data["value"]) for problem in found]
    assert all(problem.hint for problem in found)


def test_the_fix_for_a_wrong_prefix_is_spelled_out() -> None:
    loaded = manifest(emitted_event_kinds=["job_done"], backpressure_policy={"job_done": "queue"})
    [problem] = validate(loaded, {})
    assert problem.hint == "rename it to acme-demo:job_done, or change the slug"
    assert problem.message.startswith("Pack slug prefix mismatch")


@pytest.mark.parametrize("slug", ["conductor", "agent-runtime"])
def test_the_daemons_slugs_are_reserved(slug: str) -> None:
    [problem] = validate(manifest(slug=slug), {})
    assert problem.code == "SLUG_RESERVED"


@pytest.mark.parametrize("provider", ["acme-demo:destroy", "acme-demo:*", "*"])
def test_an_approval_is_given_by_name_by_pack_or_by_a_provider_of_all(provider: str) -> None:
    loaded = manifest(required_approvals=["acme-demo:destroy"])
    assert validate(loaded, {}, approval_providers=[provider]) == []
