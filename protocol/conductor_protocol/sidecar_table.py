"""The sidecar's half of a session, as one table.

Promise: every pair of state and input has exactly one rule here, and `docs/protocol.md` draws its
table from this one. Refusal: no rule is decided anywhere else; actions only carry them out.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where a sidecar's session stands."""

    CONNECTING = "CONNECTING"
    GREETING = "GREETING"
    OPEN = "OPEN"
    DRAINING = "DRAINING"
    CLOSED = "CLOSED"


class Input(StrEnum):
    """What can happen to it: a message of the conductor, or a command of the shell."""

    WELCOME = "welcome"
    EVENTS = "events"
    PUSHED = "pushed"
    BEAT = "beat"
    ROTATE = "rotate"
    DRAIN = "drain"
    ERROR = "error"
    UNKNOWN = "unknown message"
    MALFORMED = "malformed frame"
    START = "start()"
    STORED = "stored()"
    GRANT = "grant()"
    PUSH = "push()"
    TICK = "tick()"
    BYE = "bye()"


class Action(StrEnum):
    """What the session does about it."""

    GREET = "send hello"
    OPEN = "check the version, tell of a gap, connect"
    DELIVER = "check sequence and credit, deliver"
    CONFIRM = "confirm pushed ids"
    LISTEN = "compare sequences, notice deafness"
    ROTATE = "ask for the new credential"
    DRAIN = "pass the drain on"
    COMPLAINT = "pass the error on; close if fatal"
    ANSWER = "answer with a coded error; close if fatal"
    ACK = "send ack"
    PUSH = "send push"
    TICK = "beat, or close on a deadline"
    LEAVE = "send bye, close"
    VIOLATION = "error UNEXPECTED_MESSAGE, close"
    IGNORE = "nothing"


class Rule(msgspec.Struct, frozen=True):
    """An action, and the state that follows where the action does not close the session."""

    action: Action
    then: State


_S, _I, _A = State, Input, Action
MESSAGES = (_I.WELCOME, _I.EVENTS, _I.PUSHED, _I.BEAT, _I.ROTATE, _I.DRAIN)


def _stay(state: State, actions: dict[Input, Action]) -> dict[Input, Rule]:
    """Give each input that `actions` leaves out its default: a violation, or nothing."""
    rest = dict.fromkeys(Input, _A.IGNORE)
    if state is not _S.CLOSED:
        rest |= dict.fromkeys(MESSAGES, _A.VIOLATION)
        rest |= {_I.ERROR: _A.COMPLAINT, _I.UNKNOWN: _A.ANSWER, _I.MALFORMED: _A.ANSWER}
    closing = {_A.VIOLATION, _A.LEAVE}
    return {
        given: Rule(action, _S.CLOSED if action in closing else state)
        for given, action in (rest | actions).items()
    }


_SESSION = {
    _I.EVENTS: _A.DELIVER,
    _I.PUSHED: _A.CONFIRM,
    _I.BEAT: _A.LISTEN,
    _I.ROTATE: _A.ROTATE,
    _I.DRAIN: _A.DRAIN,
    _I.STORED: _A.ACK,
    _I.GRANT: _A.ACK,
    _I.TICK: _A.TICK,
    _I.BYE: _A.LEAVE,
}

TABLE: dict[State, dict[Input, Rule]] = {
    _S.CONNECTING: {
        **_stay(_S.CONNECTING, {_I.BYE: _A.LEAVE}),
        _I.START: Rule(_A.GREET, _S.GREETING),
    },
    _S.GREETING: {
        **_stay(_S.GREETING, {_I.TICK: _A.TICK, _I.BYE: _A.LEAVE}),
        _I.WELCOME: Rule(_A.OPEN, _S.OPEN),
    },
    _S.OPEN: {
        **_stay(_S.OPEN, {**_SESSION, _I.PUSH: _A.PUSH}),
        _I.DRAIN: Rule(_A.DRAIN, _S.DRAINING),
    },
    # Pushing goes on: a conductor that drains may take its time, and no successor be there yet.
    _S.DRAINING: _stay(_S.DRAINING, {**_SESSION, _I.PUSH: _A.PUSH}),
    _S.CLOSED: _stay(_S.CLOSED, {}),
}
"""Whatever closes a session on the way (a broken rule, a deadline) leads to CLOSED."""
