"""Times and schedules that users write: read strictly, compared as moments.

Promise: a time names its offset and a schedule has five fields and comes round; everything else is
refused with a sentence. Refusal: no clock is read here, and no schedule runs anything.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

MOMENT_MAX = 40
CRON_MAX = 200
_CRON_FIELDS = 5
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_PROBE = datetime(2024, 1, 1, tzinfo=UTC)


def read_moment(text: str) -> datetime:
    """Return the moment that an RFC 3339 date-time names, in UTC.

    Fractions of a second beyond microseconds are cut off.

    Raises:
        ValueError: It is not one; the message is for people.
    """
    if _MOMENT.fullmatch(text) is None:
        raise ValueError("is not an RFC 3339 date-time, for example 2026-03-01T09:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not a time that exists: {error}") from None


def check_moment(text: str) -> str:
    """Return the text unchanged if it is an RFC 3339 date-time.

    Raises:
        ValueError: It is not.
    """
    read_moment(text)
    return text


def check_cron(text: str) -> str:
    """Return the schedule with single blanks between its five fields.

    Raises:
        ValueError: It is not one, or there is no moment at which it comes round.
    """
    fields = text.split()
    if len(fields) != _CRON_FIELDS:
        raise ValueError("needs the five fields minute hour day month weekday: 30 9 * * MON")
    schedule = " ".join(fields)
    try:
        upcoming = next_occurrence(schedule, _PROBE)
    except (CronSimError, AssertionError, TypeError) as error:
        # The last two are what the parser answers where two of its marks are mixed.
        raise ValueError(f"is not a cron expression: {error or 'marks that do not mix'}") from None
    if upcoming is None:
        raise ValueError("never comes round")
    return schedule


def next_occurrence(schedule: str, after: datetime) -> datetime | None:
    """Return the first moment of a checked schedule strictly later than `after`, in UTC.

    None where there is none within fifty years.
    """
    return next(CronSim(schedule, after.astimezone(UTC)), None)
