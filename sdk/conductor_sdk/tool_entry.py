"""A tool's entry and its answer: foreign code, imported and read with care.

Promise: what cannot be imported is one exception with the reason, and whatever a tool answers
becomes a ToolOutput of plain JSON. Refusal: nothing is called here.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any, cast

import msgspec

from conductor_sdk.tool import Tool
from conductor_sdk.tool_output import ToolOutput, failed
from conductor_sdk.tool_schema import OUTPUT_MAX_BYTES, NotJson, Schema, to_json

_decode = msgspec.json.Decoder(ToolOutput).decode


class ToolUnavailable(Exception):
    """A tool cannot be called here; the text says why."""


def load_entry(entry: str) -> Tool:
    """Import `package.module:attribute`.

    Raises:
        ToolUnavailable: It cannot be imported, or is no function.
    """
    module_name, separator, attribute = entry.partition(":")
    if not separator or not attribute or not module_name:
        raise ToolUnavailable(f"the entry {entry!r} is not package.module:attribute")
    try:
        # An import may print; stdout belongs to the answer.
        with contextlib.redirect_stdout(sys.stderr):
            found: object = importlib.import_module(module_name)
            for step in attribute.split("."):
                found = getattr(found, step)
    except (Exception, SystemExit) as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise ToolUnavailable(f"the entry {entry} cannot be imported: {text}") from error
    if not callable(found):
        raise ToolUnavailable(f"the entry {entry} is a {type(found).__name__}, not a function")
    return cast("Tool", found)


def read_answer(answer: object, schema: Schema | None) -> tuple[ToolOutput, bytes]:
    """Return what a tool answered as plain JSON values, and its one text.

    An answer that is no ToolOutput, is not JSON, or does not fit becomes `INVALID_OUTPUT`; the
    tool's effects have happened then.
    """
    if not isinstance(answer, ToolOutput):
        return _invalid(f"a {type(answer).__name__} is no ToolOutput")
    try:
        text = to_json(answer, OUTPUT_MAX_BYTES)
        # Read back: nothing is shared with the tool, and wrong types of fields are found.
        output = _decode(text)
    except (NotJson, msgspec.MsgspecError) as error:
        return _invalid(str(error))
    if output.success:
        if output.error is not None:
            return _invalid("a success with an error")
        problems = [] if schema is None else schema.problems(output.data or {})
        if problems:
            return _invalid("the data does not fit the tool's output_schema", problems=problems)
    elif output.error is None or not output.error.code:
        return _invalid("a failure without an error code")
    return output, text


def _invalid(why: str, **details: Any) -> tuple[ToolOutput, bytes]:
    output = failed("INVALID_OUTPUT", f"the tool's answer is invalid: {why}", details=details)
    return output, to_json(output)
