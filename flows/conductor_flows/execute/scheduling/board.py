"""Everything that a flow holds at one moment: queues, windows, invocations, what came out.

Promise: whoever waits for something is woken when it changes; a scope ends exactly when nothing
is left in it. Refusal: nothing is decided here: `starting` begins invocations, `settling` ends
them.

Times are seconds of any monotonic clock.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from conductor_flows.execute.planning.plan import EdgePlan, NodePlan, Plan
from conductor_flows.execute.planning.pointers import Missing
from conductor_flows.execute.scheduling.items import Group, Invocation, Item, Scope
from conductor_flows.execute.scheduling.lanes import Lanes
from conductor_flows.execute.scheduling.matching import Matching
from conductor_flows.execute.scheduling.pacing import Bucket
from conductor_flows.execute.scheduling.routing import Output, View
from conductor_flows.execute.scheduling.windows import Closed, Windows

DEAD_KEPT = 1000
TIMERS_LEAST = 1024
"""Alarms before those of items that are gone are cleared away."""


class NodeState:
    """What a node is at."""

    __slots__ = ("backlog", "bucket", "groups", "matching", "plan", "running", "turn")

    def __init__(self, plan: NodePlan, now: float) -> None:
        self.plan = plan
        self.running = 0
        self.backlog: deque[Output] = deque()
        """Outputs beyond the one whose place was kept; until they are out, the node waits."""
        self.bucket = None if plan.rate is None else Bucket(plan.rate, now)
        self.matching = None if plan.gather is None else Matching(plan.gather)
        self.turn = 0
        self.groups = 0
        """Of a for_each at this node, still open."""


class Board:
    """One run, or one stream of payloads through one flow."""

    def __init__(self, plan: Plan, view: View, now: float) -> None:
        self.plan = plan
        self.view = view
        self.queues = [Lanes(edge) for edge in plan.edges]
        self.nodes = [NodeState(node, now) for node in plan.nodes]
        self.gathering = [state for state in self.nodes if state.matching is not None]
        self.turning = [state for state in self.nodes if len(state.plan.inputs) > 1]
        self.windows: dict[int, Windows] = {
            edge: Windows(window) for node in plan.nodes for edge, window in node.window.items()
        }
        self.late_edges = {each.plan.late_edge for each in self.windows.values()}
        """Ways that only late items take."""
        self.active: dict[int, Invocation] = {}
        self.captured: deque[tuple[Scope, Any]] = deque()
        self.promised = 0
        """Captures that running invocations may still give."""
        self.ended: deque[Scope] = deque()
        """Payloads of which nothing is left in the flow."""
        self.dead: deque[tuple[int, Any, str]] = deque(maxlen=DEAD_KEPT)
        """Items that were given up: node, value, why. The newest."""
        self.dropped: Counter[str] = Counter()
        """Items that were let go, by reason."""
        self.saturated: list[int] = []
        """Nodes whose rate limit has been spent for long; whoever tells of them takes them."""
        self.untaken: int | None = None
        """The node whose `switch` last took no way."""
        self.runnable: deque[int] = deque()
        self._flagged = bytearray(len(plan.nodes))
        self._timers: list[tuple[float, int, int, Item | None]] = []
        self._timers_most = TIMERS_LEAST
        self._count = 0

    def takes_outputs(self, plan: NodePlan) -> bool:
        """Tell whether there is room for everything that one invocation of a node may give."""
        if plan.captures and len(self.captured) + self.promised >= self.plan.capture_capacity:
            return False
        queues = self.queues
        for edge in plan.outputs:
            lanes = queues[edge]
            if lanes.length + lanes.reserved >= lanes.capacity and lanes.blocks:
                return False
        return True

    def wake(self, node: int) -> None:
        """Look at a node again: something about it has changed."""
        if node >= 0 and not self._flagged[node]:
            self._flagged[node] = 1
            self.runnable.append(node)

    def looked(self, node: int) -> None:
        """Forget that a node was to be looked at."""
        self._flagged[node] = 0

    def freed(self, edge: int) -> None:
        """An edge has a place more; tell its source."""
        self.wake(self.plan.edges[edge].source)

    def serial(self) -> int:
        """Return the next number."""
        self._count += 1
        return self._count

    @property
    def holds(self) -> bool:
        """Whether something is under way: being worked on, waiting, or held back."""
        waits = any(lanes.length for lanes in self.queues)
        return bool(self.active) or waits or any(state.backlog for state in self.nodes)

    # Items

    def put(self, edge: int, item: Item, now: float) -> None:
        """Place an item on an edge: into its window if there is one, else into the queue."""
        plan, lanes = self.plan.edges[edge], self.queues[edge]
        if plan.partition is not None:
            item.lane = self._partition(plan, item.value)
        if self.windows and edge in self.windows and not item.closed:
            self._into_window(edge, item, now)
            return
        if plan.on_full != "backpressure" and not lanes.room and not self._make_room(lanes, item):
            return
        item.at = now
        if plan.timeout_s is not None:
            item.deadline = now + plan.timeout_s
            self.alarm(item.deadline, plan.to, item)
        lanes.put(item)
        self.wake(plan.to)

    def _partition(self, plan: EdgePlan, value: Any) -> Any:
        if plan.partition is None:
            return None
        try:
            found = plan.partition(self.view(plan.source, value))
        except Missing:
            return None
        return found if isinstance(found, str | int | float | bool) else repr(found)

    def _make_room(self, lanes: Lanes, item: Item) -> bool:
        plan = lanes.plan
        self.dropped[plan.on_full] += 1
        victim = lanes.oldest() if plan.on_full == "drop_oldest" else None
        if victim is not None:
            lanes.withdraw(victim)
            self.consume((victim,))
            return True
        if plan.on_full == "dead_letter":
            self.dead.append((plan.to, item.value, "the edge is full"))
        self.consume((item,))
        return False

    def _into_window(self, edge: int, item: Item, now: float) -> None:
        windows, plan = self.windows[edge], self.plan.edges[edge]
        try:
            time_ms = windows.plan.time(self.view(plan.source, item.value))
        except Missing:
            time_ms = None
        if not isinstance(time_ms, int) or isinstance(time_ms, bool):
            self.dead.append((plan.to, item.value, "no event time"))
            self.consume((item,))
        elif windows.add(item, time_ms):
            self.close_windows(edge, windows.ripe(item.lane), now)
        elif windows.plan.late_edge is not None:
            late = Item(item.value, item.scope, turns=item.turns)
            self.nodes[plan.source].backlog.append(Output(windows.plan.late_edge, late))
            self.consume((item,))
            self.wake(plan.source)
        else:
            self.dropped["late"] += 1
            self.consume((item,))

    def close_windows(self, edge: int, closed: Iterable[Closed], now: float) -> None:
        """Put whole windows on their edge, each one item: start, end, partition, items."""
        for window in closed:
            value = {
                "window_start": window.start_ms, "window_end": window.end_ms,
                "partition": window.lane, "items": [item.value for item in window.items],
            }  # fmt: skip
            whole = Item(value, window.items[0].scope.root, closed=True)
            whole.lane = window.lane
            self.put(edge, whole, now)
            self.consume(window.items)

    def consume(self, items: Iterable[Item]) -> None:
        """Let go of items; their scopes may end by it. Outputs must have been made before."""
        for item in items:
            item.gone = True
            self._left(item.scope)

    def _left(self, scope: Scope) -> None:
        scope.live -= 1
        if scope.live:
            return
        group = scope.group
        if group is None:
            self.ended.append(scope)
            return
        group.open -= 1
        if not group.open:
            self.complete(group)

    def complete(self, group: Group) -> None:
        """End a for_each: its results go to the collector, if there is one."""
        state = self.nodes[group.node]
        expand = state.plan.expand
        state.groups -= 1
        self.wake(group.node)
        if expand is not None and expand.exit is not None and expand.collect is not None:
            item = Item(group.results(), group.parent)
            self.nodes[expand.exit].backlog.append(Output(expand.collect, item))
            self.wake(expand.exit)
        self._left(group.parent)

    def flush(self, state: NodeState, now: float) -> None:
        """Place what a node holds back, as far as there is room."""
        backlog = state.backlog
        while backlog:
            edge = backlog[0].edge
            if self.plan.edges[edge].on_full == "backpressure" and not self.queues[edge].room:
                return
            output = backlog.popleft()
            self.put(edge, output.item, now)

    # Time

    def alarm(self, at: float, node: int, item: Item | None) -> None:
        """Look at a node, or at an item that waits before it, at a time."""
        timers = self._timers
        if len(timers) >= self._timers_most:
            # What is gone already would wait behind whatever is late for long.
            timers[:] = [each for each in timers if each[3] is None or not each[3].gone]
            heapq.heapify(timers)
            self._timers_most = max(TIMERS_LEAST, 2 * len(timers))
        heapq.heappush(timers, (at, self.serial(), node, item))

    def due(self, now: float) -> list[tuple[int, Item | None]]:
        """Take the alarms whose time has come."""
        found: list[tuple[int, Item | None]] = []
        while self._timers and self._timers[0][0] <= now:
            _, _, node, item = heapq.heappop(self._timers)
            found.append((node, item))
        return found

    @property
    def timed(self) -> bool:
        """Whether there may be an alarm."""
        return bool(self._timers)

    @property
    def wake_at(self) -> float | None:
        """When the next alarm is; those of items that are gone are left out."""
        while self._timers and (item := self._timers[0][3]) is not None and item.gone:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None
