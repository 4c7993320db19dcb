"""Whether a call is allowed, as rules in layers say.

Promise: pure; any deny wins over any request for approval, which wins over allow; a lower layer
never loosens what a higher one refused unless it may. Refusal: no rule of one pack governs another
pack's tools; nothing is asked or stored here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

import msgspec

from conductor_sdk.manifest_tools import PolicyManifest, ToolManifest

Decision: TypeAlias = Literal["allow", "deny", "approval_required"]
Trigger: TypeAlias = Literal["on_tool_request", "on_claim", "on_completion", "on_evidence_added"]
_STRICTNESS: Mapping[Decision, int] = {"allow": 0, "approval_required": 1, "deny": 2}
LayerName: TypeAlias = Literal["workspace", "lane", "pack", "task", "manifest"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be decided."""

    tool: str | None = None
    pack: str | None = None
    arguments: Mapping[str, Any] | None = None
    """The input, where it is an object; not validated yet."""
    trigger: Trigger = "on_tool_request"


@dataclass(frozen=True, slots=True)
class Rule:
    """One sentence of a policy."""

    id: str
    decision: Decision
    tool: str = "*"
    """A glob over tool names; `*` and `?` reach over colons."""
    reason: str | None = None
    trigger: Trigger = "on_tool_request"
    when: Callable[[Question], bool] | None = None
    """A further condition, which may look at the arguments."""

    def applies(self, question: Question) -> bool:
        """Tell whether the rule speaks to the question."""
        return (
            self.trigger == question.trigger
            and fnmatchcase(question.tool or "", self.tool)
            and (self.when is None or self.when(question))
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """Rules of one origin."""

    name: LayerName
    rules: tuple[Rule, ...] = ()
    default: Decision | None = None
    allow_loosening: bool = False
    """Whether it may allow what a higher layer's default denies."""


class Decided(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule's share in a verdict, as the journal keeps it."""

    policy_id: str
    decision: Decision
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer."""

    decision: Decision
    decisions: tuple[Decided, ...] = ()
    """Every rule that applied, in the order of the layers."""
    warnings: tuple[str, ...] = ()
    """Attempts to loosen that had no effect."""

    @property
    def reason(self) -> str | None:
        """The first reason given for the decision."""
        return next(
            (one.reason for one in self.decisions if one.decision == self.decision and one.reason),
            None,
        )


def judge(layers: Sequence[Layer], question: Question) -> Verdict:
    """Ask all layers, the highest first.

    A first default holds freely, also to allow. Without any rule and default the answer is deny.
    Where no rule gave the answer, the default that did is listed as `<layer>.default`.
    """
    effective: Decision = "deny"
    by = "policy.default"
    decided: list[Decided] = []
    warnings: list[str] = []
    first = True
    for layer in layers:
        if layer.default is not None:
            if first or layer.allow_loosening or not _loosens(layer.default, effective):
                effective, by = layer.default, f"{layer.name}.default"
            else:
                warnings.append(f"loosening ignored: the default of the layer {layer.name}")
            first = False
        for rule in layer.rules:
            if not rule.applies(question):
                continue
            decided.append(Decided(rule.id, rule.decision, rule.reason))
            if _loosens(rule.decision, effective):
                if layer.allow_loosening or first:
                    effective = rule.decision
                else:
                    warnings.append(f"loosening ignored: the rule {rule.id} of {layer.name}")
    final = _final(effective, decided)
    if all(one.decision != final for one in decided):
        decided.append(Decided(by, final))
    return Verdict(final, tuple(decided), tuple(warnings))


def _loosens(decision: Decision, effective: Decision) -> bool:
    return _STRICTNESS[decision] < _STRICTNESS[effective]


def _final(effective: Decision, decided: Iterable[Decided]) -> Decision:
    return max([effective, *(one.decision for one in decided)], key=_STRICTNESS.__getitem__)


def pack_layer(policies: Iterable[PolicyManifest]) -> Layer:
    """Return the layer of one pack's own rules; ask it about that pack's tools only."""
    rules = tuple(
        Rule(policy.id, policy.decision, reason=policy.reason, trigger=policy.trigger)
        for policy in policies
    )
    return Layer("pack", rules)


def manifest_layer(tool: ToolManifest) -> Layer:
    """Return the layer of the approvals that a tool's manifest requires."""
    return Layer(
        "manifest",
        tuple(Rule(name, "approval_required") for name in tool.required_approvals),
    )
