"""Structured logs on standard error.

Promise: one line per record, JSON in a pipe, readable on a terminal; control characters never
reach the terminal and a `Secret` never shows. Refusal: nothing is configured at import.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import MutableMapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO, cast

from conductor_sdk.secret import Secret

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

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
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
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            clean,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", StandardError())),
        cache_logger_on_first_use=True,
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


def clean(
    _logger: object, _method: str, record: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Strip control characters from every text, and values that must not print."""
    for name, value in record.items():
        if isinstance(value, str):
            record[name] = _CONTROL.sub("�", value)
        elif isinstance(value, Secret):
            record[name] = "…"
    return record
