"""Writes the contract's types: `python -m conductor_packs.sidekick.contract.generate --write`.

Promise: the same tools give the same files; without `--write` it only tells whether the files are
what the tools give. Refusal: no type is written by hand, and nothing else is written here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from conductor_packs.sidekick.contract.hashing import schema_hash
from conductor_packs.sidekick.contract.shapes import Structs
from conductor_packs.sidekick.records import Channel, Memory, Message, Record, Routine, Task
from conductor_packs.sidekick.schemas import record_schema
from conductor_packs.sidekick.toolsets import tool_manifests
from conductor_sdk.manifest_tools import ToolManifest

_WIDTH = 100 + 1
HERE = Path(__file__).parent
_RECORDS: tuple[type[Record], ...] = (Task, Memory, Channel, Message, Routine)
_NOTE = "Written by `python -m conductor_packs.sidekick.contract.generate --write`: do not edit."
_IMPORTS = "import msgspec\nfrom msgspec import UNSET, UnsetType\n"


def class_name(tool: str) -> str:
    """Return the beginning of a tool's struct names: `TaskCreate`."""
    return "".join(word.capitalize() for word in tool.replace(":", "_").split("_"))


def generated() -> dict[str, str]:
    """Return the text of each generated file, by name."""
    tools = tool_manifests("full")
    parts, responses = _answers(tools)
    return {
        "requests.py": _requests(tools),
        "parts.py": parts,
        "responses.py": responses,
        "methods.py": _methods(tools),
        "version.py": _version(),
    }


def _requests(tools: Sequence[ToolManifest]) -> str:
    structs = Structs()
    for tool in tools:
        structs.add(f"{class_name(tool.name)}Request", tool.input_schema or {}, f"`{tool.name}`.")
    return _module(
        "What each tool takes; a field that is UNSET is not sent.",
        "a request that is encoded is an input of its tool", structs.texts.values(),
    )  # fmt: skip


def _answers(tools: Sequence[ToolManifest]) -> tuple[str, str]:
    known = [(record_schema(record), f"{record.__name__}Record") for record in _RECORDS]
    structs = Structs(known)
    for tool in tools:
        # Each response is a struct of its own, even where two tools answer alike.
        schema = {**(tool.output_schema or {}), "$tool": tool.name}
        structs.add(f"{class_name(tool.name)}Response", schema, f"`{tool.name}`.")
    ends = {name: text for name, text in structs.texts.items() if name.endswith("Response")}
    parts = {name: text for name, text in structs.texts.items() if name not in ends}
    return (
        _module(
            "What stands inside of the tools' answers; a field that is UNSET was not sent.",
            "keys of a later version are passed over", parts.values(),
        ),
        _module(
            "What each tool answers where it succeeds; a field that is UNSET was not sent.",
            "keys of a later version are passed over", ends.values(), sorted(parts),
        ),
    )  # fmt: skip


def _module(title: str, promise: str, texts: Iterable[str], imported: Sequence[str] = ()) -> str:
    body = "\n\n".join(texts)
    typing = [name for name in ("Any", "Literal") if f"{name}[" in body or f" {name}]" in body]
    lines = [
        f'"""{title}\n\nPromise: {promise}. Refusal: no tool is called here.\n\n{_NOTE}\n"""\n',
        "from __future__ import annotations\n",
        *([f"from typing import {', '.join(typing)}\n"] if typing else []),
        _IMPORTS,
    ]
    used = [name for name in imported if re.search(rf"\b{name}\b", body)]
    if used:
        names = "".join(f"    {name},\n" for name in used)
        lines.append(f"from {__package__}.parts import (\n{names})\n")
    return "\n".join(lines) + f"\n\n{body}"


def _methods(tools: Sequence[ToolManifest]) -> str:
    head = (
        '"""One method for each tool.\n\nPromise: a method sends its tool\'s request and returns '
        "its tool's response. Refusal: how a\ncall gets there is not known here.\n\n"
        f'{_NOTE}\n"""\n\nfrom __future__ import annotations\n\n'
        "from typing import Protocol, TypeVar\n\nimport msgspec\n\n"
        "from conductor_packs.sidekick.contract import requests, responses\n\n"
        'R = TypeVar("R", bound=msgspec.Struct)\n\n\n'
        "class SidekickMethods(Protocol):\n"
        '    """The tools of Sidekick, typed. With a `key` a repeated call has one effect."""\n\n'
        "    async def call(\n"
        "        self, tool: str, request: msgspec.Struct, response: type[R], *, "
        "key: str | None = None\n    ) -> R:\n"
        '        """Call a tool; raises SidekickFailed where it does not succeed."""\n'
        "        ...\n"
    )
    return head + "".join(_method(tool) for tool in tools)


def _method(tool: ToolManifest) -> str:
    name, method = class_name(tool.name), tool.name.replace(":", "_")
    words = f'"{tool.name}", request, responses.{name}Response, key=key'
    call = f"        return await self.call({words})\n"
    if len(call) > _WIDTH:
        call = f"        return await self.call(\n            {words}\n        )\n"
    return (
        f"\n    async def {method}(\n"
        f"        self, request: requests.{name}Request, *, key: str | None = None\n"
        f"    ) -> responses.{name}Response:\n"
        f'        """{tool.title}: `{tool.name}`."""\n{call}'
    )


def _version() -> str:
    return (
        '"""Which contract this is.\n\nPromise: the hash changes with any schema of any tool. '
        f'Refusal: no schema is here.\n\n{_NOTE}\n"""\n\n'
        "from __future__ import annotations\n\nfrom typing import Final\n\n"
        f'SCHEMA_HASH: Final = "{schema_hash()}"\n'
        '"""Over the names and schemas of both tool sets."""\n'
    )


def main(arguments: list[str]) -> int:
    """Write the files, or compare them; returns the exit code."""
    texts = generated()
    if "--write" in arguments:
        for name, text in texts.items():
            (HERE / name).write_text(text, encoding="utf-8")
        return 0
    return int(any(_read(HERE / name) != text for name, text in texts.items()))


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
