"""What an author may say about a node, read into the document.

Promise: an unknown option, level or resource is refused by name before a flow is built. Refusal:
rules that need the whole flow are the validator's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, NoReturn, TypeAlias, TypedDict, TypeVar, cast

import msgspec

from conductor_flows.dsl.errors import FlowRefused
from conductor_flows.dsl.ports import to_json
from conductor_flows.dsl.written import nearest, positive
from conductor_flows.execute.errors import PortRefused
from conductor_flows.ir.durations import duration, millis
from conductor_flows.ir.model import Idempotency, NodeIR
from conductor_flows.ir.rich import (
    Batch,
    CacheSpec,
    CapabilityBinding,
    Compensation,
    CostEstimate,
    NodeDocs,
    RetryBackoff,
    Schedule,
    StateModel,
)
from conductor_flows.ir.terms import Determinism, Effects, NodeKind, RetryOwner
from conductor_flows.validate.hints import HINTS, Implied, fallback, implied_by, under

EffectsName: TypeAlias = Literal["pure", "read_only", "effectful"]
DeterminismName: TypeAlias = Literal["strict", "stable", "best_effort", "nondeterministic"]
E = TypeVar("E", bound=StrEnum)


class NodeOptions(TypedDict, total=False):
    """Options of `@node`, `@trigger` and `Flow.add`."""

    summary: str | None
    """A line for people; a node without one is warned about (DAG350)."""
    name: str
    """Shown; by default the function's name in CamelCase."""
    kind: Literal["inline", "activity", "builtin", "plugin"]
    effects: EffectsName
    """By default `pure`, or what the used resources need."""
    determinism: DeterminismName
    """By default `best_effort`, or what the used resources need."""
    uses: Sequence[str]
    """Capability hints, as `resource::kv::read`; the node's context hands these out."""
    resources: Mapping[str, str | type]
    """Resources by alias, with their types; hints are inferred from the words in both."""
    idempotency: str | Idempotency
    """How a repetition is recognised: names of input fields joined by colons, or a record."""
    concurrency: int
    timeout_ms: int
    """Of one attempt."""
    batch: Batch
    priority: Literal["low", "normal", "high"]
    retry: RetryBackoff
    retry_owner: Literal["connector", "orchestrator", "none"]
    checkpointable: bool
    replayable: bool
    params: Any
    """Settings of the node; JSON or anything that has a JSON form."""
    labels: Sequence[str]
    docs: NodeDocs
    state: StateModel
    cost: CostEstimate
    cache: CacheSpec
    compensate: Compensation
    capabilities: Sequence[CapabilityBinding]


_SCHEDULE: Final = {"concurrency", "batch", "priority"}
_AS_THEY_ARE: Final = {"summary", "name", "docs", "state", "cost", "cache", "compensate"}
_LISTS: Final = {"labels", "capabilities"}


def with_options(node: NodeIR, options: Mapping[str, Any], where: str) -> NodeIR:
    """Return a node with options.

    Args:
        node: What holds where an option is not given.
        options: See `NodeOptions`.
        where: The function or alias, for refusals.

    Raises:
        FlowRefused: DAG002, DAG003, EFFECT201, DET301, DET302, or an option of the wrong kind.
    """
    changes: dict[str, Any] = {}
    for key, value in options.items():
        if key not in NodeOptions.__annotations__:
            _refuse_option(key, where)
        if key in _AS_THEY_ARE:
            changes[key] = value
        elif key in _LISTS:
            changes[key] = list(value)
        elif key in _READ:
            changes |= _READ[key](node, value, where)
    changes |= _schedule(node, options, where)
    changes |= _durability(node, options)
    changes |= _hints(node, options, changes.get("effects", node.effects), where)
    changed = msgspec.structs.replace(node, **changes)
    return _levels(changed, options, where)


def _refuse_option(key: str, where: str) -> NoReturn:
    known = sorted(NodeOptions.__annotations__)
    told = f"{where}: unknown option {key!r}; known: {', '.join(known)}"
    raise FlowRefused(told, code="DAG003", hint=nearest(key, known))


def member(kind: type[E], value: object, where: str, code: str = "") -> E:
    """Return the member of an enumeration that a text names; refuse others by listing them."""
    if not isinstance(value, str) or value not in list(kind):
        known = [str(each) for each in kind]
        told = f"{where}: {value!r} is none of: {', '.join(known)}"
        hint = nearest(value, known) or "use one of the words that the message lists"
        raise FlowRefused(told, code=code, hint=hint)
    return kind(value)


def _kind(node: NodeIR, value: object, where: str) -> dict[str, Any]:
    del node
    return {"kind": member(NodeKind, value, where)}


def _effects(node: NodeIR, value: object, where: str) -> dict[str, Any]:
    del node
    return {"effects": member(Effects, value, where, "EFFECT201")}


def _determinism(node: NodeIR, value: object, where: str) -> dict[str, Any]:
    del node
    return {"determinism": member(Determinism, value, where, "DET301")}


def _retry_owner(node: NodeIR, value: object, where: str) -> dict[str, Any]:
    del node
    return {"retry_owner": member(RetryOwner, value, where)}


def _idempotency(node: NodeIR, value: object, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        value = msgspec.structs.replace(node.idempotency, key=value)
    if not isinstance(value, Idempotency):
        raise FlowRefused(f"{where}: `idempotency` is a key expression or an Idempotency")
    return {"idempotency": value}


def _params(node: NodeIR, value: object, where: str) -> dict[str, Any]:
    del node
    try:
        found = to_json(value)
    except PortRefused as refused:
        raise FlowRefused(f"{where}: params: {refused.detail}", code="DAG002") from None
    if not isinstance(found, dict):
        raise FlowRefused(f"{where}: params are no object with fields", code="DAG002")
    return {"params": found}


_READ: Final[Mapping[str, Callable[[NodeIR, object, str], dict[str, Any]]]] = {
    "kind": _kind, "effects": _effects, "determinism": _determinism,
    "retry_owner": _retry_owner, "idempotency": _idempotency, "params": _params,
}  # fmt: skip


def _schedule(node: NodeIR, options: Mapping[str, Any], where: str) -> dict[str, Any]:
    changes = {key: options[key] for key in _SCHEDULE & options.keys()}
    if "timeout_ms" in options:
        changes["timeout"] = duration(positive(options["timeout_ms"], f"{where}: `timeout_ms`"))
    if "retry" in options:
        changes["retry_backoff"] = _retry(options["retry"], where)
    if not changes:
        return {}
    return {"schedule": msgspec.structs.replace(node.schedule or Schedule(), **changes)}


def _retry(given: object, where: str) -> RetryBackoff:
    """Refuse what the executor would pass over, and then repeat as nobody has asked for."""
    told = f'{where}: `retry` is like RetryBackoff(base="PT0.2S", max_attempts=3)'
    if not isinstance(given, RetryBackoff):
        raise FlowRefused(f"{told}, not {given!r}")
    try:
        msgspec.convert(msgspec.to_builtins(given), RetryBackoff)
    except msgspec.ValidationError as error:
        raise FlowRefused(f"{told}: {error}") from None
    for name in ("base", "max"):
        text = getattr(given, name)
        if text is not None and millis(text) is None:
            raise FlowRefused(f"{told}; {name}: {text!r} is no ISO 8601 duration in whole ms")
    if given.max_attempts is not None and given.max_attempts < 1:
        raise FlowRefused(f"{told}; max_attempts counts the first attempt too, so it is 1 or more")
    return given


def _durability(node: NodeIR, options: Mapping[str, Any]) -> dict[str, Any]:
    changes = {key: options[key] for key in ("checkpointable", "replayable") if key in options}
    return {"durability": msgspec.structs.replace(node.durability, **changes)} if changes else {}


def _hints(
    node: NodeIR, options: Mapping[str, Any], effects: Effects, where: str
) -> dict[str, Any]:
    """Add the hints of what is used; a hint is written once."""
    found = [_implied_by_hint(hint, where) for hint in _texts(options.get("uses", ()), where)]
    resources: Mapping[str, str | type] = options.get("resources") or {}
    for alias, kind in resources.items():
        implied = implied_by(alias, kind if isinstance(kind, str) else kind.__name__)
        if not implied.effects and not implied.determinism:
            writes = effects is Effects.EFFECTFUL
            implied = Implied((fallback(alias, writes=writes),))
        found.append(implied)
    if not found:
        return {}
    return {
        "effect_hints": _once(node.effect_hints, (each.effects for each in found)),
        "determinism_hints": _once(node.determinism_hints, (each.determinism for each in found)),
    }


def _texts(found: object, where: str) -> Iterable[str]:
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise FlowRefused(f"{where}: `uses` is a list of hints, as resource::kv::read")
    return [str(each) for each in cast("Sequence[object]", found)]


def _implied_by_hint(hint: str, where: str) -> Implied:
    if not hint.startswith(("resource::", "policy::", "connector::")):
        full = f"resource::{hint}"
        there = [each for each in HINTS.effects if under(each, full)]
        like = nearest(there[0] if there else full, [*HINTS.effects, *HINTS.determinism])
        raise FlowRefused(f"{where}: unknown resource {hint!r}", code="DAG003", hint=like)
    minimum, family = HINTS.effects_of(hint), "::".join(hint.split("::")[:2])
    known = [each for each in HINTS.effects if each.startswith(f"{family}::")]
    if minimum is None and known and hint != family:
        # It would be bound as one of these is, and count as none of them.
        told = f"{where}: unknown resource {hint!r}; known: {', '.join(known)}"
        raise FlowRefused(told, code="DAG003", hint=nearest(hint, known))
    freedom = (family,) if HINTS.determinism_of(family) is not None else ()
    if minimum is None and freedom:
        # A family that only loosens determinism, as a clock: it has no effect to declare.
        return Implied((), freedom if family == hint else (*freedom, hint))
    return Implied((hint,), freedom)


def _once(known: list[str], more: Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys([*known, *(hint for hints in more for hint in hints)]))


def _levels(node: NodeIR, options: Mapping[str, Any], where: str) -> NodeIR:
    """Hold declared levels against the hints; levels that nobody declared follow the hints."""
    for hint in node.effect_hints:
        least = HINTS.effects_of(hint)
        if least is not None and node.effects.rank < least.rank:
            if "effects" in options:
                text = f"{where}: {hint} needs at least {least}, declared is {node.effects}"
                raise FlowRefused(text, code="EFFECT201")
            node = msgspec.structs.replace(node, effects=least)
    for hint in node.determinism_hints:
        free = HINTS.determinism_of(hint)
        if free is not None and node.determinism.rank < free.rank:
            if "determinism" in options:
                text = f"{where}: {hint} needs at least {free}, declared is {node.determinism}"
                raise FlowRefused(text, code="DET302")
            node = msgspec.structs.replace(node, determinism=free)
    return node
