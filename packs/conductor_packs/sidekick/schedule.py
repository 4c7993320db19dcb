"""When routines are due.

Promise: pure; times that were missed are one run, the latest of them, and a clock that goes back
repeats nothing. Refusal: nothing is run here, and a routine without a schedule is never due.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cronsim import CronSim

from conductor_packs.sidekick.records import Routine
from conductor_packs.sidekick.times import check_cron, next_occurrence, read_moment

AHEAD = timedelta(hours=1)
"""A last run further in the future than this was written by a clock that was wrong."""


def due_time(routine: Routine, now: datetime) -> datetime | None:
    """Return the latest time at which the routine was due and that was not served; None: none.

    Counted from the last run, and from the last change of the routine: what it would have been due
    at before it was enabled or had this schedule is not made up for.
    """
    schedule = _schedule(routine)
    if schedule is None:
        return None
    until = now.replace(microsecond=0) + timedelta(seconds=1)
    latest = next(CronSim(schedule, until, reverse=True), None)
    return latest if latest is not None and latest > _served_until(routine, now) else None


def next_time(routine: Routine, now: datetime) -> datetime | None:
    """Return when the routine is due next, strictly after `now`; None: never, or not enabled."""
    schedule = _schedule(routine)
    if schedule is None:
        return None
    return next_occurrence(schedule, max(now, _served_until(routine, now)))


def _schedule(routine: Routine) -> str | None:
    """Return the schedule if the routine is to be run by it; None also where a file was spoilt."""
    if not routine.enabled or routine.cron is None:
        return None
    try:
        return check_cron(routine.cron)
    except ValueError:
        return None


def _served_until(routine: Routine, now: datetime) -> datetime:
    marks = [routine.created_at, routine.updated_at, routine.last_run_at or routine.created_at]
    # Marks of a clock that ran far ahead would stop the routine until that time comes.
    return max(
        (mark for mark in map(read_moment, marks) if mark <= now + AHEAD),
        default=now,
    )
