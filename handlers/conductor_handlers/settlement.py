"""What becomes of an event after an attempt: one pure table.

Promise: the same answer, attempts and policy always settle the same way. Refusal: no clock, no
randomness, no store; the caller hands in the time and the roll of the dice.

| the attempt …                 | attempts left | none left   |
|-------------------------------|---------------|-------------|
| handled, replayed, ignored    | delivered     | delivered   |
| retry, failed, timeout, …     | retry later   | dead letter |
| reject, payload invalid       | dead letter   | dead letter |
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

import msgspec

from conductor_handlers.errors import EventRejected
from conductor_sdk.errors import ConductorError
from conductor_sdk.handler import Handled, Ignored, Outcome, Reject, Replayed, Retry
from conductor_sdk.records import Buried, Delivered, Position, RetryLater, Settled

ERROR_TEXT_MAX = 2000


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and how soon; exponential with jitter."""

    max_attempts: int = 5
    first_delay_s: float = 1.0
    factor: float = 4.0
    cap_s: float = 300.0

    def delay_s(self, attempts: int, roll: float) -> float:
        """Return the delay after the given number of attempts.

        Args:
            attempts: Attempts made so far, from 1.
            roll: A number in [0, 1); half of the delay is jitter.
        """
        exponent = min(attempts - 1, 64)
        full = min(self.cap_s, self.first_delay_s * self.factor**exponent)
        return full * (0.5 + roll / 2)


Answer: TypeAlias = Outcome | ConductorError
"""What one attempt came to: the handler's outcome, or why there is none."""


def settle(
    position: Position,
    answer: Answer,
    attempts: int,
    policy: RetryPolicy,
    *,
    now_ms: int,
    roll: float,
    keys: tuple[tuple[str, str], ...] = (),
) -> Settled:
    """Decide what becomes of an event.

    Args:
        position: The event's position in the replay log.
        answer: What the attempt came to.
        attempts: Attempts made, this one included.
        policy: The retry policy of the subscription.
        now_ms: The time.
        roll: A number in [0, 1) for the jitter.
        keys: Replay keys that the attempt put; durable whatever is decided.
    """
    match answer:
        case Handled() | Replayed() | Ignored():
            return delivered(position, answer, keys)
        case Reject(reason):
            return Buried(position, attempts, EventRejected.code, _short(reason), keys)
        case Retry(reason, after_s):
            delay = policy.delay_s(attempts, roll) if after_s is None else max(0.0, after_s)
            return _again(position, attempts, policy, now_ms, delay, ("RETRY", reason), keys)
        case ConductorError():
            if not answer.retryable:
                return Buried(position, attempts, answer.code, _short(answer.message), keys)
            delay = policy.delay_s(attempts, roll)
            why = (answer.code, answer.message)
            return _again(position, attempts, policy, now_ms, delay, why, keys)
        case _:
            assert_never(answer)


def delivered(
    position: Position,
    outcome: Handled | Replayed | Ignored,
    keys: tuple[tuple[str, str], ...] = (),
) -> Delivered:
    """Decide on an event that is done: no policy, time or chance has a say, so none is asked."""
    if type(outcome) is Handled:  # the common answer, without the patterns
        return Delivered(position, "handled", _short(outcome.action), keys)
    match outcome:
        case Handled(action):
            return Delivered(position, "handled", _short(action), keys)
        case Replayed(action):
            return Delivered(position, "replayed", _short(action), keys)
        case Ignored(action):
            return Delivered(position, "ignored", _short(action), keys)
        case _:
            assert_never(outcome)


def _again(
    position: Position,
    attempts: int,
    policy: RetryPolicy,
    now_ms: int,
    delay_s: float,
    why: tuple[str, str],
    keys: tuple[tuple[str, str], ...],
) -> Settled:
    code, text = why
    if attempts >= policy.max_attempts:
        return Buried(position, attempts, code, _short(text), keys)
    due = now_ms + round(delay_s * 1000)
    return RetryLater(position, attempts, due, _short(f"{code}: {text}"), keys)


def _short(text: str) -> str:
    if not text.isascii():
        # Half of a surrogate pair is no character: no store and no wire could carry it.
        text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= ERROR_TEXT_MAX else text[: ERROR_TEXT_MAX - 1] + "…"
