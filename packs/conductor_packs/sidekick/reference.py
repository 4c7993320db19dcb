"""The reference page of the pack, drawn from the table of descriptors.

Promise: every tool, field and code of the full tool set is on it, and a test compares. Refusal: it
says what is, not how to use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conductor_packs.sidekick import errors
from conductor_packs.sidekick.codes import CODES
from conductor_packs.sidekick.descriptors import DESCRIPTORS, ToolDescriptor, tools_of
from conductor_packs.sidekick.schemas import Schema, input_schema
from conductor_packs.sidekick.storage import errors as storage_errors
from conductor_sdk.errors import ConductorError

_HEAD = """\
# Sidekick

*Generated from the pack's table of tools by `python docs/sidekick.py`; edit the code instead.*

Tasks, memory, channels and routines of one workspace, below `.sidekick/`. What the pack is told in
`[pack.sidekick]` of `conductor.toml`:

| Setting | Default | Meaning |
|---|---|---|
| `toolset` | `"core"` | `"core"`: the 16 tools of the manifest; `"full"`: 23, with more fields |
| `storage` | `"filesystem"` | `"filesystem"`: JSON files for people too; `"sqlite"`: one file |
| `semantic` | none | `"package.module:attribute"`, which makes an embedder for recall by meaning |

What is said of `[full]` below is only there in the full tool set.
"""
_RULES = """\
## Rules for all tools

- **Answers** are `{success, data}` or `{success, error: {code, message, details}}`; a provider's
  failure has `data` too.
- **Strings** are trimmed, blanks count as absent where a field may be, and nothing over a limit is
  cut: it is refused. **Times** are RFC 3339 with an offset and are kept as they were given;
  **schedules** are cron expressions of five fields in UTC that come round at some time.
- **Dry runs**: each write tool takes `dry_run` and answers what it would do, with `dry_run: true`.
  Nothing is stored or audited, and the id that is shown is not the id of a later call.
- **Order**: tasks, memories without a query, channels and routines come last changed first,
  messages oldest first; equals stay in stored order.
- **Scopes**: the manifest declares `.sidekick/**`. A call must also reach the records of the
  tool's own group, and to write, `.sidekick/audit/**` and `.sidekick/.lock`; no tool reaches
  another group's records, whatever it is granted.
- **Audit**: a change and its event, with the authenticated caller, are stored together or not at
  all. Reading records leaves no event. `sidekick:status`, `sidekick:export`, `routine:run` and a
  provider's `channel:receive` leave one after the answer is known; the pack writes it, beyond the
  call's own scopes, where the storage is in use. Where nothing was ever stored, or nothing can be
  written, there is none: a read creates no file, and the journal has the call anyway.
- **Tasks** end `done` or `canceled`. Completing again keeps the first time. A canceled task never
  changes again; tasks that depend on it stay blocked, show it in `blocked_by`, and are named by
  `task:cancel` as `dependents`. Dependencies must exist, must not be canceled and must not go
  round in a circle. `unblocked` names the tasks that waited for this one last.
- **Views** of tasks are computed when they are asked for, by UTC: `due` is due before the end of
  today (overdue ones included), `overdue` is due in the past, `deferred` has a `defer_until` to
  come, `blocked` waits for a task that is not done, `ready` is neither deferred nor blocked. A
  task with a `cron` and no `due_at` is due at its next time.
- **Recall** ranks by full text, the words found in brackets in `snippet`; `score` compares within
  one answer only. With `semantic`, ranks of words and of meaning are fused.
- **Providers**: `sender` is not handed on, the answer has the provider's own field names, and a
  message that is worth another try waits in the outbox.
- **Routines**: a step may be a tool's name alone. What cannot be used is left out and named in
  `warnings` with its index, as are tools that there are not now; `strict` refuses instead.
- **An export's** `checksum` is `sha256:` and the hash of `data` as JSON with sorted keys, without
  blanks, in UTF-8.
"""


def page() -> str:
    """Return the whole page in Markdown."""
    parts = [_HEAD, _overview(), _RULES, *map(_tool, DESCRIPTORS), _codes()]
    return "\n".join(parts)


def _overview() -> str:
    core = {tool.name for tool in tools_of("core")}
    rows = [
        f"| [`{tool.name}`](#{tool.name.replace(':', '')}) | "
        f"{'core' if tool.name in core else 'full'} | {tool.permission} | {_hints(tool)} | "
        f"{tool.description} |"
        for tool in DESCRIPTORS
    ]
    return "\n".join([
        "## Tools", "",
        "| Tool | Tool set | Permission | | What it does |", "|---|---|---|---|---|", *rows, "",
    ])  # fmt: skip


def _hints(tool: ToolDescriptor[Any]) -> str:
    hints = {
        "idempotent": tool.idempotent,
        "destructive": tool.destructive,
        f"approval `{tool.approvals[0] if tool.approvals else ''}` [full]": tool.approved,
    }
    return ", ".join(hint for hint, holds in hints.items() if holds)


def _tool(tool: ToolDescriptor[Any]) -> str:
    core = input_schema(tool.inputs, "core")["properties"]
    full = input_schema(tool.inputs, "full")
    required = set(full.get("required", ()))
    rows = [
        f"| `{name}`{'' if tool.toolset == 'full' or name in core else ' [full]'} | "
        f"{_type(field)} | {'yes' if name in required else ''} | {field['description']} |"
        for name, field in full["properties"].items()
    ]
    table = ["| Field | Type | Required | Meaning |", "|---|---|---|---|", *rows]
    return "\n".join([
        f"### {tool.name}", "", tool.description, "",
        *(table if rows else ["It takes no field."]), "",
        f"Answers {', '.join(_answered(tool.output))}.", "",
    ])  # fmt: skip


def _answered(output: Schema) -> Iterator[str]:
    required = output.get("required", ())
    for name in output["properties"]:
        yield f"`{name}`" if name in required else f"`{name}`?"


def _type(field: Schema) -> str:
    """Say a field's type and limits in a few words."""
    if "enum" in field:
        return " ".join(f"`{value}`" for value in field["enum"])
    given: str | list[str] = field["type"]
    kinds = [given] if isinstance(given, str) else given
    said = {"string": "text", "integer": "number", "object": "object", "boolean": "yes or no"}
    kind = " or ".join(said.get(each, each) for each in kinds)
    if field.get("format") == "date-time":
        return kind.replace("text", "time")
    if kinds[0] == "array":
        items = field["items"]
        each = f" of at most {items['maxLength']}" if "maxLength" in items else ""
        return f"list, at most {field['maxItems']}{each}"
    most = field.get("maxLength", field.get("maximum"))
    return kind if most is None else f"{kind}, at most {most}"


def _codes() -> str:
    rows = [f"| `{code}` | {meaning} |" for code, meaning in CODES.items()]
    rows += sorted(
        f"| `{error.code}` | {(error.__doc__ or '').strip()} Next: {error.default_hint}. |"
        for module in (errors, storage_errors)
        for error in vars(module).values()
        if isinstance(error, type)
        and issubclass(error, ConductorError)
        and error.__module__ == module.__name__
    )
    return "\n".join([
        "## Codes", "", "Beside those of the tool host.", "",
        "| Code | Meaning |", "|---|---|", *rows, "",
    ])  # fmt: skip
