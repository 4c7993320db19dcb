"""Structured logs on standard error.

Promise: one line per record, JSON in a pipe, readable on a terminal; control characters never
reach the terminal, a `Secret` never shows, no record is longer than a few pages, and a flood of one
record neither fills the disk nor hides the others. Refusal: nothing is configured at import.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Iterable, MutableMapping
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO, cast

from conductor_sdk.clock import SystemClock
from conductor_sdk.secret import Secret
from conductor_sdk.terminal_text import clean as cleaned
from conductor_sidecar.log_limits import Limiter
from conductor_sidecar.log_redaction import LOGS

# structlog loads `rich` where it is installed, for tracebacks that we never print: 25 ms and 5 MB.
_rich = sys.modules.get("rich")
sys.modules["rich"] = cast("ModuleType", None)
try:
    import structlog
finally:
    if _rich is None:
        del sys.modules["rich"]
    else:
        sys.modules["rich"] = _rich

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from conductor_sidecar.settings import LogSettings

TEXT_MAX = 4000
"""Characters of one text."""
FIELDS_MAX = 40
"""Fields of one record, and items of one list."""
DEPTH_MAX = 4
SUPPRESSED = "suppressed"
"""The record that tells how many of a name were held back."""
QUIET = ("uvicorn.error",)
"""Their warnings are about requests that were answered with an error already."""
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING,
           "error": logging.ERROR}  # fmt: skip


def configure(settings: LogSettings) -> None:
    """Set structlog up for this process."""
    terminal = sys.stderr.isatty()
    console = settings.format == "console" or (settings.format == "auto" and terminal)
    renderer = (
        structlog.dev.ConsoleRenderer(colors=terminal and not os.environ.get("NO_COLOR"))
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            hold_back,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Before a text is cut, which could leave half a secret; and what became text by then.
            LOGS,
            clean,
            LOGS,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", StandardError())),
        cache_logger_on_first_use=False,  # a reload may set another level for loggers in use
    )
    # What libraries and packs say through the standard library takes the same form.
    logging.basicConfig(level=logging.WARNING, handlers=[Bridge()], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def configure_command() -> None:
    """Set structlog up for a command: what it has to say beside its output, from warnings on."""
    from conductor_sidecar.settings import LogSettings

    configure(LogSettings(level="warning"))


class Bridge(logging.Handler):
    """Hands records of the standard library's logging to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record, its traceback on the same line."""
        fields: dict[str, object] = {"part": record.name}
        if record.exc_info and record.exc_info[0] is not None:
            lines = traceback.format_exception(*record.exc_info)
            fields["trace"] = " | ".join(" | ".join(lines).split("\n"))
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  foreign code: its arguments may not fit its text
            text = str(record.msg)
        level = logging.ERROR if record.levelno >= logging.ERROR else logging.WARNING
        get_logger(**fields).log(level, text)


class StandardError:
    """Standard error as it is at each write; a log that cannot be written is lost, not fatal.

    The terminal may be gone, the pipe's reader too, the disk behind a redirection full: none of
    these may end a daemon that still has events to keep.
    """

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def get_logger(**fields: object) -> FilteringBoundLogger:
    """Return a logger with bound fields."""
    logger: FilteringBoundLogger = structlog.get_logger(**fields)
    return logger


_limiter = Limiter(SystemClock().monotonic)


def suppressed_total() -> int:
    """Return how many records were held back since the start."""
    return _limiter.total


def tell_suppressed() -> None:
    """Log what was held back and has said nothing since; called now and then."""
    for name, count in _limiter.overdue():
        get_logger(part="logs").warning(SUPPRESSED, of=name, count=count, _told=_limiter)


def hold_back(
    _logger: object, _method: str, record: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop a record whose name came too often; the next one of it says how many were dropped.

    Raises:
        structlog.DropEvent: It came too often.
    """
    if record.pop("_told", None) is _limiter:
        return record
    before = _limiter.admit(str(record.get("event"))[:TEXT_MAX])
    if before is None:
        raise structlog.DropEvent
    if before:
        record[SUPPRESSED] = before
    return record


def clean(
    _logger: object, _method: str, record: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Strip control characters from every text, cut what is long, hide what must not print."""
    # The last fields are those that the processors before this one have added.
    for name in list(record)[FIELDS_MAX:-FIELDS_MAX]:
        del record[name]
    for name in list(record):
        record[_text(name)] = _plain(record.pop(name), DEPTH_MAX)
    return record


def _plain(value: object, depth: int) -> object:
    """Return what of a value may be written; what is no JSON becomes text."""
    match value:
        case bool() | int() | float() | None:
            return value
        case str():
            return _text(value)
        case Secret():
            return "…"
        case dict() if depth:
            items = islice(cast("dict[object, object]", value).items(), FIELDS_MAX)
            return {_text(str(key)): _plain(one, depth - 1) for key, one in items}
        case list() | tuple() | set() | frozenset() if depth:
            some = islice(cast("Iterable[object]", value), FIELDS_MAX)
            return [_plain(one, depth - 1) for one in some]
        case _:
            return _foreign(value)


def _foreign(value: object) -> str:
    try:
        return _text(str(value) if isinstance(value, BaseException) else repr(value))
    except Exception as error:  # noqa: BLE001  foreign code: what it prints may fail
        return f"({type(value).__name__}: {type(error).__name__})"


def _text(text: str) -> str:
    return cleaned(text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…")
