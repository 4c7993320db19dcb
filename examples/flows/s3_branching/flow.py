"""Two decisions in a row: a boolean chooses a branch, then a text chooses a mode."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conductor_flows import Flow, node, trigger


@dataclass(frozen=True)
class Choice:
    """What is decided by, and what was decided."""

    flag: bool
    mode: str
    branch: str = ""
    mode_selected: str = ""


@trigger(summary="Take the request")
async def take(choice: Choice) -> Choice:
    """Take what was sent, as it is."""
    return choice


@node(determinism="strict", summary="Stand where the branch is chosen")
async def route(choice: Choice) -> Choice:
    """Give the choice on; the `if` behind this node reads `/flag` of it."""
    return choice


@node(determinism="strict", summary="The flag is set")
async def then_branch(choice: Choice) -> Choice:
    """Note the way that was taken."""
    return replace(choice, branch="then")


@node(determinism="strict", summary="The flag is not set")
async def else_branch(choice: Choice) -> Choice:
    """Note the way that was taken."""
    return replace(choice, branch="else")


@node(determinism="strict", summary="Stand where the mode is chosen")
async def mode(choice: Choice) -> Choice:
    """Give the choice on; the `switch` behind this node reads `/mode` of it."""
    return choice


@node(determinism="strict", summary="Mode a")
async def mode_a(choice: Choice) -> Choice:
    """Note the mode."""
    return replace(choice, mode_selected="a")


@node(determinism="strict", summary="Mode b")
async def mode_b(choice: Choice) -> Choice:
    """Note the mode."""
    return replace(choice, mode_selected="b")


@node(determinism="strict", summary="Any other mode")
async def mode_default(choice: Choice) -> Choice:
    """Note that there was no better one."""
    return replace(choice, mode_selected="default")


@node(determinism="strict", summary="Answer")
async def respond(choice: Choice) -> Choice:
    """Answer with what was decided."""
    return choice


flow = Flow("s3_branching_flow", "1.0.0", profile="web", summary="An if, then a switch")
start = flow.add(take, "trigger")
fork = flow.add(route)
yes, no = flow.add(then_branch), flow.add(else_branch)
modes = flow.add(mode)
a, b, other = flow.add(mode_a), flow.add(mode_b), flow.add(mode_default)
end = flow.add(respond, "responder")

flow.connect(start, fork)
flow.connect(fork, yes)
flow.connect(fork, no)
flow.if_(fork, "/flag", then=yes, otherwise=no)
flow.connect(yes, modes)
flow.connect(no, modes)
for each in (a, b, other):
    flow.connect(modes, each)
    flow.connect(each, end)
flow.switch(modes, "/mode", {"a": a, "b": b}, other)
flow.entrypoint(start, end, path="/branch", method="POST", deadline_ms=250)
