"""Policy: layers of rules, and which of them wins."""

from __future__ import annotations

from typing import Any

import pytest

from conductor_handlers.toolhost.policy import (
    Decided,
    Layer,
    Question,
    Rule,
    judge,
    manifest_layer,
    pack_layer,
)
from conductor_sdk.manifest_tools import PolicyManifest, ToolManifest

ASKED = Question("proc:exec", "demo", {"path": "/etc/passwd"})
OPEN = Layer("workspace", default="allow", allow_loosening=True)


def test_without_any_layer_the_answer_is_deny() -> None:
    assert "deny" == judge([], ASKED).decision


def test_a_deny_of_the_lane_holds_against_an_allow_of_the_task() -> None:
    verdict = judge(
        [
            OPEN,
            Layer("lane", (Rule("lane.deny.proc", "deny", "proc:exec"),)),
            Layer("task", (Rule("task.allow.proc", "allow", "proc:*"),)),
        ],
        ASKED,
    )
    assert "deny" == verdict.decision
    assert Decided("lane.deny.proc", "deny") in verdict.decisions


def test_a_lower_layer_does_not_loosen_a_default_and_says_so() -> None:
    verdict = judge(
        [
            Layer("workspace", default="deny"),
            Layer("task", (Rule("task.allow.proc", "allow"),)),
        ],
        ASKED,
    )
    assert "deny" == verdict.decision
    [warning] = verdict.warnings
    assert "loosening" in warning
    assert "task.allow.proc" in warning


def test_a_lower_layer_loosens_a_default_where_it_may() -> None:
    allow = Layer("task", (Rule("task.allow", "allow"),), allow_loosening=True)
    assert "allow" == judge([Layer("workspace", default="deny"), allow], ASKED).decision


def test_no_loosening_undoes_a_rule_that_denies_and_both_are_listed() -> None:
    verdict = judge(
        [
            Layer("workspace", (Rule("hard", "deny"),), default="allow"),
            Layer("task", (Rule("task.allow", "allow"),), allow_loosening=True),
        ],
        ASKED,
    )
    assert "deny" == verdict.decision
    assert ["hard", "task.allow"] == [one.policy_id for one in verdict.decisions]


def test_a_default_that_would_loosen_is_one_warning_that_names_its_layer() -> None:
    verdict = judge([Layer("workspace", default="deny"), Layer("pack", default="allow")], ASKED)
    assert "deny" == verdict.decision
    [warning] = verdict.warnings
    assert "pack" in warning


@pytest.mark.parametrize(
    "trigger", ["on_tool_request", "on_claim", "on_completion", "on_evidence_added"]
)
def test_a_rule_speaks_to_its_own_trigger_only(trigger: Any) -> None:
    rule = Rule("r", "deny", trigger=trigger)
    for asked in ("on_tool_request", "on_claim", "on_completion", "on_evidence_added"):
        decision = judge([OPEN, Layer("pack", (rule,))], Question("t", trigger=asked)).decision
        assert ("deny" if asked == trigger else "allow") == decision


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        (["allow", "approval_required"], "approval_required"),
        (["approval_required", "allow"], "approval_required"),
        (["approval_required", "deny"], "deny"),
        (["deny", "approval_required", "allow"], "deny"),
        (["allow"], "allow"),
        ([], "allow"),
    ],
)
def test_deny_goes_before_approval_and_approval_before_allow(
    decisions: list[Any], expected: str
) -> None:
    rules = tuple(Rule(f"r{at}", decision) for at, decision in enumerate(decisions))
    assert expected == judge([OPEN, Layer("pack", rules)], ASKED).decision


def test_a_condition_sees_the_arguments_and_is_silent_without_them() -> None:
    def outside(question: Question) -> bool:
        return question.arguments is not None and not str(
            question.arguments.get("path")
        ).startswith("/home/")

    layers = [OPEN, Layer("workspace", (Rule("paths", "deny", when=outside),))]
    assert "deny" == judge(layers, ASKED).decision
    assert "allow" == judge(layers, Question("t", "d", {"path": "/home/user/file.txt"})).decision
    assert "allow" == judge(layers, Question("t", "d")).decision


@pytest.mark.parametrize(
    ("default", "rule", "expected"),
    [
        ("deny", "allow", "allow"), ("deny", "approval_required", "approval_required"),
        ("approval_required", "allow", "allow"),
        ("allow", "approval_required", "approval_required"),
        ("allow", "deny", "deny"), ("deny", "deny", "deny"),
    ],
)  # fmt: skip
def test_a_rule_goes_before_the_default_of_its_own_layer(
    default: Any, rule: Any, expected: str
) -> None:
    layer = Layer("workspace", (Rule("r", rule),), default, allow_loosening=True)
    assert expected == judge([layer], ASKED).decision


def test_a_pack_s_wish_for_approval_does_not_open_what_the_workspace_denies() -> None:
    verdict = judge(
        [
            Layer("workspace", default="deny", allow_loosening=True),
            Layer("manifest", (Rule("demo:b", "approval_required"),)),
        ],
        ASKED,
    )
    assert "deny" == verdict.decision
    assert ["demo:b", "workspace.default"] == [one.policy_id for one in verdict.decisions]
    assert 1 == len(verdict.warnings)


def test_a_default_that_decides_is_named() -> None:
    assert (Decided("workspace.default", "allow"),) == judge([OPEN], ASKED).decisions
    assert (Decided("policy.default", "deny"),) == judge([], ASKED).decisions


def test_the_reason_is_that_of_the_rule_that_decided() -> None:
    rules = (Rule("a", "allow", reason="fine"), Rule("b", "deny", reason="not on Fridays"))
    assert "not on Fridays" == judge([OPEN, Layer("pack", rules)], ASKED).reason


def test_a_manifest_s_policies_and_approvals_become_layers() -> None:
    policy = PolicyManifest(id="p", trigger="on_tool_request", decision="allow", reason="r")
    assert (Rule("p", "allow", reason="r"),) == pack_layer([policy]).rules
    tool = ToolManifest.model_validate({
        "name": "a:b", "entry": "m:f", "required_approvals": ["demo:b"],
        "required_scopes": [{"type": "path", "pattern": "x", "access": "read"}],
    })  # fmt: skip
    assert (Rule("demo:b", "approval_required"),) == manifest_layer(tool).rules
