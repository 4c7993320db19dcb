"""What building a flow refuses, with the code of the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conductor_flows import Flow, FlowRefused, NodeContext, node, timer, trigger
from conductor_flows.dsl.draft import Handle
from conductor_flows.ir.rich import RetryBackoff
from flow_orders import Reply, Request, answer, left, rest, right, route


class Scene:
    """A flow with `route -> left -> answer`, and a node `right` that nothing leads to."""

    def __init__(self) -> None:
        self.flow: Any = Flow("scene", "1.0.0", summary="A flow for refusals")
        self.route: Any = self.flow.add(route)
        self.left: Any = self.flow.add(left)
        self.right: Any = self.flow.add(right)
        self.answer: Any = self.flow.add(answer)
        self.flow.connect(self.route, self.left)
        self.flow.connect(self.left, self.answer)
        self.edge: Any = (self.route, self.left)
        self.missing: Any = (self.route, self.right)
        self.stranger: Any = Flow("other", "1.0.0").add(rest)


Act = Callable[[Scene], object]
BARE: tuple[Any, Any] = node, trigger
"""As no type checker lets them be called."""


def twice(act: Act) -> Act:
    def both(s: Scene) -> None:
        act(s)
        act(s)

    return both


def routed(s: Scene) -> None:
    s.flow.connect(s.route, s.right)
    s.flow.if_(s.route, "/flag", then=s.left, otherwise=s.right)
    s.flow.switch(s.route, "/mode", {"a": s.left})


CODED: list[tuple[str, str, Act, str]] = [
    ("duplicate alias", "DAG205", lambda s: s.flow.add(left), "'left'"),
    ("unknown alias", "DAG202", lambda s: s.flow.handle("nobody"), "'nobody'"),
    ("unknown source", "DAG202", lambda s: s.flow.connect(s.stranger, s.left), "'rest'"),
    ("unknown target", "DAG202", lambda s: s.flow.connect(s.left, s.stranger), "'rest'"),
    ("unknown case", "DAG202", lambda s: s.flow.switch(s.route, "", {"a": s.stranger}), "'rest'"),
    ("unknown trigger", "DAG202", lambda s: s.flow.entrypoint(s.stranger, s.left), "'rest'"),
    ("timeout without edge", "DAG206", lambda s: s.flow.timeout(*s.missing, ms=1),
     "route -> right"),
    ("delivery without edge", "DAG206", lambda s: s.flow.delivery(*s.missing, "exactly_once"),
     "route -> right"),
    ("buffer without edge", "DAG206", lambda s: s.flow.buffer(*s.missing, max_items=1),
     "route -> right"),
    ("spill without edge", "DAG206", lambda s: s.flow.spill(*s.missing, tier="local"),
     "route -> right"),
    ("partition without edge", "DAG206", lambda s: s.flow.partition(*s.missing, key="a"),
     "route -> right"),
    ("if without edge", "DAG206",
     lambda s: s.flow.if_(s.route, "/flag", then=s.left, otherwise=s.right), "route -> right"),
    ("switch without edge", "DAG206", lambda s: s.flow.switch(s.route, "/mode", {"a": s.right}),
     "route -> right"),
    ("switch default without edge", "DAG206",
     lambda s: s.flow.switch(s.route, "/mode", {"a": s.left}, s.right), "route -> right"),
    ("edge twice", "DAG207", lambda s: s.flow.connect(*s.edge), "route -> left"),
    ("timeout twice", "DAG207", twice(lambda s: s.flow.timeout(*s.edge, ms=1)), "route -> left"),
    ("delivery twice", "DAG207", twice(lambda s: s.flow.delivery(*s.edge, "at_most_once")),
     "route -> left"),
    ("buffer twice", "DAG207", twice(lambda s: s.flow.buffer(*s.edge, max_items=1)),
     "route -> left"),
    ("spill twice", "DAG207", twice(lambda s: s.flow.spill(*s.edge, tier="x")), "route -> left"),
    ("partition twice", "DAG207", twice(lambda s: s.flow.partition(*s.edge, key="x")),
     "route -> left"),
    ("two switches", "DAG207", twice(lambda s: s.flow.switch(s.route, "/mode", {"a": s.left})),
     "route"),
    ("if and switch", "DAG207", routed, "route"),
    ("rate_limit twice", "DAG207", twice(lambda s: s.flow.rate_limit(s.left, qps=1, burst=1)),
     "left"),
    ("on_error twice", "DAG207", twice(lambda s: s.flow.on_error([s.left], "continue")), "left"),
    ("entrypoint twice", "DAG207", twice(lambda s: s.flow.entrypoint(s.route, s.answer)),
     "route -> answer"),
    ("incompatible ports", "DAG201", lambda s: s.flow.connect(s.route, s.answer), "Request"),
    ("unknown option", "DAG003", lambda s: s.flow.add(rest, colour="red"), "'colour'"),
    ("unknown effects", "EFFECT201", lambda s: s.flow.add(rest, effects="none"), "'none'"),
    ("unknown determinism", "DET301", lambda s: s.flow.add(rest, determinism="odd"), "'odd'"),
    ("a flow in itself", "DAG200", lambda s: s.flow.subflow(s.flow), "itself"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "act", "names"), [each[1:] for each in CODED],
                         ids=[each[0] for each in CODED])  # fmt: skip
def test_a_wrong_step_is_refused_with_its_code(code: str, act: Act, names: str) -> None:
    with pytest.raises(FlowRefused) as refused:
        act(Scene())
    assert (code, True) == (refused.value.code, names in refused.value.detail)
    assert code == refused.value.as_json()["code"]


def test_a_refusal_points_into_the_document() -> None:
    scene = Scene()
    with pytest.raises(FlowRefused) as refused:
        scene.flow.connect(*scene.edge)
    assert "/edges/0" == refused.value.location
    with pytest.raises(FlowRefused) as refused:
        scene.flow.add(left)
    assert "/nodes/1/alias" == refused.value.location


PLAIN: list[tuple[str, Act, str]] = [
    ("unknown delivery", lambda s: s.flow.delivery(*s.edge, "maybe_once"),
     "at_least_once, at_most_once, exactly_once"),
    ("delivery no text", lambda s: s.flow.delivery(*s.edge, 3),
     "at_least_once, at_most_once, exactly_once"),
    ("unknown ordering", lambda s: s.flow.ordering(*s.edge, "odd"), "ordered, unordered"),
    ("timeout key", lambda s: s.flow.timeout(*s.edge, milliseconds=3), "`ms`"),
    ("timeout none", lambda s: s.flow.timeout(*s.edge), "`ms`"),
    ("timeout type", lambda s: s.flow.timeout(*s.edge, ms="3"), "`ms`"),
    ("timeout zero", lambda s: s.flow.timeout(*s.edge, ms=0), "`ms`"),
    ("buffer key", lambda s: s.flow.buffer(*s.edge, items=3), "`max_items`"),
    ("buffer type", lambda s: s.flow.buffer(*s.edge, max_items=True), "`max_items`"),
    ("spill key", lambda s: s.flow.spill(*s.edge, name="disk"), "`tier`"),
    ("spill type", lambda s: s.flow.spill(*s.edge, tier=3), "`tier`"),
    ("partition key", lambda s: s.flow.partition(*s.edge, key=""), "`key`"),
    ("switch without cases", lambda s: s.flow.switch(s.route, "/mode", {}), "at least one case"),
    ("switch case no text", lambda s: s.flow.switch(s.route, "/mode", {1: s.left}), "a case"),
    ("switch target no node", lambda s: s.flow.switch(s.route, "/mode", {"a": "left"}), "case 'a'"),
    ("switch default no node", lambda s: s.flow.switch(s.route, "/mode", {"a": s.left}, "left"),
     "default"),
    ("switch pointer no text", lambda s: s.flow.switch(s.route, 3, {"a": s.left}), "Pointer"),
    ("if pointer without slash",
     lambda s: s.flow.if_(s.route, "flag", then=s.left, otherwise=s.left), "slash"),
    ("if pointer no text", lambda s: s.flow.if_(s.route, 3, then=s.left, otherwise=s.left),
     "Pointer"),
    ("if then no node", lambda s: s.flow.if_(s.route, "", then="left", otherwise=s.left), "then"),
    ("if else no node", lambda s: s.flow.if_(s.route, "", then=s.left, otherwise="left"),
     "otherwise"),
    ("connect with a name", lambda s: s.flow.connect("route", s.left), "flow.add"),
    ("connect with a function", lambda s: s.flow.connect(s.route, left), "flow.add"),
    ("add a function", lambda s: s.flow.add(len), "@node"),
    ("alias", lambda s: s.flow.add(rest, "no alias"), "alias"),
    ("join of one", lambda s: s.flow.join([s.left], s.answer), "two sources"),
    ("on_error nobody", lambda s: s.flow.on_error([], "retry"), "at least one"),
    ("on_error strategy", lambda s: s.flow.on_error([s.left], "ignore"), "retry, fail, continue"),
    ("time_limit behaviour", lambda s: s.flow.time_limit([s.left], ms=1, behaviour="wait"),
     "cancel, retry"),
    ("rate", lambda s: s.flow.rate_limit(s.left, qps=0, burst=1), "`qps`"),
    ("loop bound", lambda s: s.flow.loop(s.route, s.left, condition="/m", max_iterations=0),
     "`max_iterations`"),
    ("entrypoint no trigger", lambda s: s.flow.entrypoint(s.left, s.answer), "no trigger"),
    ("kind", lambda s: s.flow.add(rest, kind="outline"), "inline"),
    ("retry owner", lambda s: s.flow.add(rest, retry_owner="me"), "connector"),
    ("idempotency", lambda s: s.flow.add(rest, idempotency=3), "idempotency"),
    ("uses a text", lambda s: s.flow.add(rest, uses="resource::kv::read"), "`uses`"),
    ("retry a number", lambda s: s.flow.add(rest, retry=3), "RetryBackoff("),
    ("retry base", lambda s: s.flow.add(rest, retry=RetryBackoff(base="1s")), "'1s'"),
    ("retry max", lambda s: s.flow.add(rest, retry=RetryBackoff(max="P1M")), "'P1M'"),
    ("retry number", lambda s: s.flow.add(rest, retry=RetryBackoff(base=1)), "str"),  # type: ignore[arg-type]  # wrong on purpose
    ("retry never", lambda s: s.flow.add(rest, retry=RetryBackoff(max_attempts=0)), "1 or more"),
    ("timeout", lambda s: s.flow.add(rest, timeout_ms=0), "`timeout_ms`"),
    ("timeout text", lambda s: s.flow.add(rest, timeout_ms="5s"), "`timeout_ms`"),
    ("a node that was not added", lambda s: s.flow.connect(s.route, rest), "flow.add(rest)"),
    ("bare node", lambda _: BARE[0](left), "left: @node has no parentheses"),
    ("bare trigger", lambda _: BARE[1](left), "left: @trigger has no parentheses"),
    ("flow name", lambda _: Flow("NoSnake", "1.0.0"), "snake_case"),
    ("flow version", lambda _: Flow("snake", "one"), "1.0.0"),
    ("flow profile", lambda _: Flow("snake", "1.0.0", profile="moon"), "web, queue"),  # type: ignore[arg-type]  # wrong on purpose
    ("timer without time", lambda _: timer("pause", Request), "after_s"),
    ("timer in the past", lambda _: timer("pause", Request, after_s=-1), "negative"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "names"), [each[1:] for each in PLAIN],
                         ids=[each[0] for each in PLAIN])  # fmt: skip
def test_a_wrong_word_is_refused_by_saying_what_is_expected(act: Act, names: str) -> None:
    with pytest.raises(FlowRefused) as refused:
        act(Scene())
    assert ("FLOW_REFUSED", True) == (refused.value.code, names in refused.value.detail)


def synchronous(request: Request) -> Reply: ...
async def no_argument() -> Reply: ...
async def three(a: Request, b: NodeContext, c: int) -> Reply: ...
async def untyped(request) -> Reply: ...  # noqa: ANN001  # wrong on purpose
async def no_return(request: Request): ...  # noqa: ANN201  # wrong on purpose
async def odd_context(request: Request, context: int) -> Reply: ...
async def unheard_of(request: Unknown) -> Reply: ...  # noqa: F821  # wrong on purpose
async def no_json(request: Handle[Any, Any]) -> Reply: ...


FUNCTIONS = [
    synchronous, no_argument, three, untyped, no_return, odd_context, unheard_of, no_json,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("decorator", [node, trigger])
def test_a_function_whose_ports_are_not_told_is_no_node(function: Any, decorator: Any) -> None:
    with pytest.raises(FlowRefused) as refused:
        decorator(summary="Wrong")(function)
    assert "DAG001" == refused.value.code


DECLARED = [
    ({"effects": "odd"}, "EFFECT201", "'odd'"),
    ({"determinism": "odd"}, "DET301", "'odd'"),
    ({"colour": "red"}, "DAG003", "'colour'"),
    ({"uses": ["kv"]}, "DAG003", "'kv'"),
    ({"params": {1, 2}}, "DAG002", "params"),
    ({"params": {"a": object()}}, "DAG002", "params"),
    ({"effects": "pure", "resources": {"http_sender": "HttpWrite"}}, "EFFECT201",
     "work: resource::http::write needs at least effectful"),
    ({"effects": "pure", "resources": {"postgres_writer": "PgWrite"}}, "EFFECT201",
     "work: resource::db::write needs at least effectful"),
    ({"effects": "pure", "resources": {"queue_publish": "QueueProducer"}}, "EFFECT201",
     "work: resource::queue::publish needs at least effectful"),
    ({"effects": "pure", "uses": ["resource::kv::read"]}, "EFFECT201", "read_only"),
    ({"determinism": "strict", "resources": {"clock": "SystemClock"}}, "DET302",
     "work: resource::clock needs at least best_effort"),
    ({"determinism": "strict", "resources": {"blob_fetch": "BlobReader"}}, "DET302",
     "work: resource::blob needs at least best_effort"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "code", "names"), DECLARED)
def test_a_declaration_that_cannot_hold_is_refused(options: Any, code: str, names: str) -> None:
    async def work(request: Request) -> Reply: ...

    with pytest.raises(FlowRefused) as refused:
        node(**options)(work)
    assert (code, True) == (refused.value.code, names in refused.value.detail)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"effect": "pure"}, "did you mean 'effects'?"),
        ({"effects": "readonly"}, "did you mean 'read_only'?"),
        ({"effects": "moon"}, "use one of the words that the message lists"),
        ({"uses": ["resource::kv::reed"]}, "did you mean 'resource::kv::read'?"),
        ({"uses": ["kv"]}, "did you mean 'resource::kv::read'?"),
        ({"uses": ["clock"]}, "did you mean 'resource::clock'?"),
    ],
)
def test_a_word_that_is_nearly_right_is_offered(options: Any, advice: str) -> None:
    with pytest.raises(FlowRefused) as refused:
        node(**options)(left.__wrapped__)

    assert (True, advice) == (refused.value.advised, refused.value.hint)


def test_a_wider_and_a_narrower_resource_may_be_used() -> None:
    declared = node(uses=["resource::dedupe", "resource::kv::read::eu"])(left.__wrapped__)

    assert ["resource::kv::read::eu"] == declared.ir.effect_hints
