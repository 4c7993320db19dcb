"""Control surfaces: where items go, how often, how fast, and what happens when a node fails.

Promise: each becomes a surface of the document, with the id `<kind>:<source alias>:<n>`, and the
edges of a surface that makes its own values (elements, windows, matches) are drawn with it.
Refusal: `switch` and `if_` draw no edges: what they gate must be connected first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, cast, overload

from conductor_flows.dsl.draft import Draft, Handle
from conductor_flows.dsl.errors import FlowRefused
from conductor_flows.dsl.written import pointer, positive, text
from conductor_flows.ir.terms import SurfaceKind

AnyHandle = Handle[Any, Any]
In = TypeVar("In")
Out = TypeVar("Out")


class SurfaceWords:
    """The surfaces half of `Flow`. Every method returns the surface's id."""

    _draft: Draft

    def switch(
        self, source: AnyHandle, pointer_to: str, cases: Mapping[str, AnyHandle],
        default: AnyHandle | None = None,
    ) -> str:  # fmt: skip
        """Send each item to the case that a text in it names.

        Args:
            source: Whose answers are sorted.
            pointer_to: JSON Pointer to the text.
            cases: Connected nodes by text.
            default: Where the rest goes; without one it goes nowhere.

        Raises:
            FlowRefused: DAG202; DAG206 for a case without an edge; DAG207 where the source has an
                `if_` or `switch`; without a code: no cases, or no JSON Pointer.
        """
        draft = self._draft
        start, at = draft.alias(source, "switch"), pointer(pointer_to, "switch")
        names = {case: draft.alias(each, f"switch case {case!r}")
                 for case, each in _cases(cases).items()}  # fmt: skip
        other = None if default is None else draft.alias(default, "switch default")
        targets = [*names.values(), *([other] if other else [])]
        self._route(start, targets, "switch")
        config = {"source": start, "selector_pointer": at, "cases": names, "default": other}
        return draft.surface(SurfaceKind.SWITCH, [start, *targets], config)

    def if_(
        self, source: AnyHandle, pointer_to: str, *, then: AnyHandle, otherwise: AnyHandle
    ) -> str:
        """Send each item one way or the other, by a boolean in it; raises as `switch`."""
        draft = self._draft
        start, at = draft.alias(source, "if"), pointer(pointer_to, "if")
        yes, no = draft.alias(then, "if then"), draft.alias(otherwise, "if otherwise")
        self._route(start, [yes, no], "if")
        config = {"source": start, "selector_pointer": at, "then": yes, "else": no}
        return draft.surface(SurfaceKind.IF, [start, yes, no], config)

    def _route(self, start: str, targets: Sequence[str], what: str) -> None:
        for target in targets:
            self._draft.must_have(start, target, what)
        self._draft.once("a routing surface", start)

    @overload
    def for_each(
        self, source: AnyHandle, body: Handle[Any, Out], *, items: str = "",
        collect: Handle[list[Out], Any] | None = None, concurrency: int | None = None,
    ) -> str: ...  # fmt: skip
    @overload
    def for_each(
        self, source: AnyHandle, body: AnyHandle, *, items: str = "", last: Handle[Any, Out],
        collect: Handle[list[Out], Any], concurrency: int | None = None,
    ) -> str: ...  # fmt: skip
    def for_each(
        self, source: AnyHandle, body: AnyHandle, *, items: str = "",
        last: AnyHandle | None = None, collect: AnyHandle | None = None,
        concurrency: int | None = None,
    ) -> str:  # fmt: skip
        """Send the elements of a list through a body, one by one.

        Args:
            source: Whose answer holds the list.
            body: The first node of the body; it takes an element.
            items: JSON Pointer to the list; "" is the whole answer.
            last: The last node of the body; by default its first.
            collect: Takes the list of what the body gave, in the order of the elements.
            concurrency: Elements that `body` works on at once.

        Raises:
            FlowRefused: DAG202, DAG207 for a second one at this source, or no JSON Pointer.
        """
        draft = self._draft
        start, entry = draft.alias(source, "for_each"), draft.alias(body, "for_each body")
        at = pointer(items, "for_each")
        draft.once("for_each", start)
        draft.made(start, entry)
        config: dict[str, Any] = {"source": start, "items_pointer": at, "body_entry": entry}
        targets = [start, entry]
        if concurrency is not None:
            config["concurrency"] = positive(concurrency, "for_each: `concurrency`")
        if collect is not None:
            leave = entry if last is None else draft.alias(last, "for_each last")
            into = draft.alias(collect, "for_each collect")
            draft.made(leave, into)
            config |= {"body_exit": leave, "collect": into}
            targets += [leave, into]
        return draft.surface(SurfaceKind.FOR_EACH, targets, config)

    @overload
    def loop(
        self, source: Handle[Any, In], body: Handle[In, In], *, condition: str, max_iterations: int
    ) -> str: ...
    @overload
    def loop(
        self, source: Handle[Any, In], body: Handle[In, Any], *, condition: str,
        max_iterations: int, last: Handle[Any, In],
    ) -> str: ...  # fmt: skip
    def loop(
        self, source: AnyHandle, body: AnyHandle, *, condition: str,
        max_iterations: int, last: AnyHandle | None = None,
    ) -> str:  # fmt: skip
        """Send an item round a body again while its answer says so.

        Args:
            source: What comes before the body.
            body: The first node of the body.
            condition: JSON Pointer to a boolean in the body's answer: true is once more.
            max_iterations: Rounds at most; an item that would go on fails the node.
            last: The last node of the body; by default its first.

        Raises:
            FlowRefused: DAG201, DAG202, DAG207, no JSON Pointer or no positive number.
        """
        draft = self._draft
        start, entry = draft.alias(source, "loop"), draft.alias(body, "loop body")
        leave = entry if last is None else draft.alias(last, "loop last")
        config = {
            "source": start, "body_entry": entry, "body_exit": leave,
            "condition_pointer": pointer(condition, "loop"),
            "max_iterations": positive(max_iterations, "loop: `max_iterations`"),
        }  # fmt: skip
        draft.once("loop", leave)
        if (start, entry) not in draft.edges:
            draft.connect(start, entry, into=False)
        return draft.surface(SurfaceKind.LOOP, [start, entry, leave], config)

    def rate_limit(self, target: AnyHandle, *, qps: int, burst: int) -> str:
        """Let a node begin so many calls a second, and so many at once after a pause.

        Raises:
            FlowRefused: DAG202, DAG207 for a second one, or a number that is not above 0.
        """
        node = self._draft.alias(target, "rate_limit")
        config = {
            "target": node, "qps": positive(qps, "rate_limit: `qps`"),
            "burst": positive(burst, "rate_limit: `burst`"),
        }  # fmt: skip
        self._draft.once("rate_limit", node)
        return self._draft.surface(SurfaceKind.RATE_LIMIT, [node], config)

    def time_limit(
        self, nodes: Sequence[AnyHandle], *, ms: int,
        behaviour: Literal["cancel", "retry", "dead_letter"] = "cancel",
    ) -> str:  # fmt: skip
        """Bound one attempt of each of these nodes (TIME015); raises as `rate_limit`."""
        names = self._draft.aliases(nodes, "time_limit")
        limit = positive(ms, "time_limit: `ms`")
        _one_of(behaviour, ("cancel", "retry", "dead_letter"), "time_limit: `behaviour`")
        for name in names:
            self._draft.once("time_limit", name)
        config = {"scope": {"nodes": names}, "duration_ms": limit, "behaviour": behaviour}
        return self._draft.surface(SurfaceKind.TIMEOUT, names, config)

    def on_error(
        self, nodes: Sequence[AnyHandle],
        strategy: Literal["retry", "fail", "continue", "dead_letter"], *,
        max_retries: int | None = None, backoff_ms: int | None = None,
    ) -> str:  # fmt: skip
        """Say what happens when one of these nodes fails.

        Args:
            nodes: Which.
            strategy: retry; fail the run; continue without the item; or keep it as a dead letter.
            max_retries: After the first attempt; 2 by default.
            backoff_ms: Before the first repetition, doubled for each; 200 by default.

        Raises:
            FlowRefused: DAG202, DAG207 for a second handler, or an unknown strategy.
        """
        names = self._draft.aliases(nodes, "on_error")
        _one_of(strategy, ("retry", "fail", "continue", "dead_letter"), "on_error: `strategy`")
        config: dict[str, Any] = {"scope": {"nodes": names}, "strategy": strategy}
        for key, value in (("max_retries", max_retries), ("backoff_ms", backoff_ms)):
            config[key] = None if value is None else positive(value, f"on_error: `{key}`")
        for name in names:
            self._draft.once("on_error", name)
        return self._draft.surface(SurfaceKind.ERROR_HANDLER, names, config)


def _cases(found: object) -> Mapping[str, object]:
    if not isinstance(found, Mapping) or not found:
        raise FlowRefused("switch: give at least one case, as {'a': node}")
    cases = cast("Mapping[object, object]", found)
    return {text(case, "switch: a case"): each for case, each in cases.items()}


def _one_of(found: object, known: Sequence[str], what: str) -> None:
    if found not in known:
        raise FlowRefused(f"{what} is one of {', '.join(known)}, not {found!r}")
