"""The conductor's half of a session, as one table.

Promise: every pair of state and input has exactly one rule here, and `docs/protocol.md` draws its
table from this one. Refusal: no rule is decided anywhere else; actions only carry them out.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where a conductor's session stands."""

    AWAITING = "AWAITING"
    GREETED = "GREETED"
    OPEN = "OPEN"
    DRAINING = "DRAINING"
    CLOSED = "CLOSED"


class Input(StrEnum):
    """What can happen to it: a message of the sidecar, or a command of the shell."""

    HELLO = "hello"
    ACK = "ack"
    PUSH = "push"
    BEAT = "beat"
    BYE = "bye"
    ERROR = "error"
    UNKNOWN = "unknown message"
    MALFORMED = "malformed frame"
    WELCOME = "welcome()"
    REFUSE = "refuse()"
    SEND_EVENTS = "send_events()"
    PUSHED = "pushed()"
    ROTATE = "rotate()"
    DRAIN = "drain()"
    BEATING = "beat()"
    TICK = "tick()"


class Action(StrEnum):
    """What the session does about it."""

    OPEN = "check the versions, tell the shell"
    ACK = "check the range, note the limit"
    TAKE = "check the window, hand to the shell"
    ANCHOR = "pass the journal's head on"
    DEPART = "pass the goodbye on, close"
    COMPLAINT = "pass the error on; close if fatal"
    ANSWER = "answer with a coded error; close if fatal"
    WELCOME = "send welcome"
    REFUSE = "send a fatal error, close"
    EVENTS = "send events"
    RESULTS = "send pushed"
    ROTATE = "send rotate"
    DRAIN = "send drain"
    BEAT = "send beat"
    TICK = "beat, or close on a deadline"
    VIOLATION = "error UNEXPECTED_MESSAGE, close"
    IGNORE = "nothing"


class Rule(msgspec.Struct, frozen=True):
    """An action, and the state that follows where the action does not close the session."""

    action: Action
    then: State


_S, _I, _A = State, Input, Action
MESSAGES = (_I.HELLO, _I.ACK, _I.PUSH, _I.BEAT)


def _stay(state: State, actions: dict[Input, Action]) -> dict[Input, Rule]:
    """Give each input that `actions` leaves out its default: a violation, or nothing."""
    rest = dict.fromkeys(Input, _A.IGNORE)
    if state is not _S.CLOSED:
        rest |= dict.fromkeys(MESSAGES, _A.VIOLATION)
        rest |= {_I.ERROR: _A.COMPLAINT, _I.UNKNOWN: _A.ANSWER, _I.MALFORMED: _A.ANSWER}
        rest |= {_I.BYE: _A.DEPART, _I.REFUSE: _A.REFUSE, _I.TICK: _A.TICK}
    closing = {_A.VIOLATION, _A.DEPART, _A.REFUSE}
    return {
        given: Rule(action, _S.CLOSED if action in closing else state)
        for given, action in (rest | actions).items()
    }


_SESSION = {
    _I.ACK: _A.ACK,
    _I.PUSH: _A.TAKE,
    _I.BEAT: _A.ANCHOR,
    _I.SEND_EVENTS: _A.EVENTS,
    _I.PUSHED: _A.RESULTS,
    _I.ROTATE: _A.ROTATE,
    _I.BEATING: _A.BEAT,
}

TABLE: dict[State, dict[Input, Rule]] = {
    _S.AWAITING: {
        **_stay(_S.AWAITING, {}),
        _I.HELLO: Rule(_A.OPEN, _S.GREETED),
    },
    _S.GREETED: {
        **_stay(_S.GREETED, {}),
        _I.WELCOME: Rule(_A.WELCOME, _S.OPEN),
    },
    _S.OPEN: {
        **_stay(_S.OPEN, _SESSION),
        _I.DRAIN: Rule(_A.DRAIN, _S.DRAINING),
    },
    _S.DRAINING: _stay(_S.DRAINING, _SESSION),
    _S.CLOSED: _stay(_S.CLOSED, {}),
}
"""Whatever closes a session on the way (a broken rule, a deadline) leads to CLOSED."""
