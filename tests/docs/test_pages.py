"""What holds on every page: links lead somewhere, commands exist, blocks are executed."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from conductor_flows.cli.main import flows
from conductor_flows.validate.registry import CODES
from conductor_sdk.errors import ConductorError
from conductor_sidecar.cli.main import ALIASES, cli
from doc_runner import Block, blocks, pages
from house import ROOT, sources

GENERATED = ("reference/commands.md", "reference/errors.md", "reference/settings.md")
EXECUTED = {
    "README.md": "test_readme",
    "docs/how-to/backup.md": "../sidecar/backup/test_backup_page",
    "docs/how-to/flows-in-the-sidecar.md": "../packs/flows/test_flows_page",
    "docs/how-to/diagnose.md": "../sidecar/diagnosis/test_diagnose_page",
    "docs/how-to/flows.md": "../flows/examples/test_flow_pages",
    "docs/how-to/flows/bind-capabilities.md": "../flows/examples/test_flow_pages",
    "docs/how-to/flows/halt-and-resume.md": "../flows/examples/test_flow_pages",
    "docs/how-to/flows/serve-over-http.md": "../flows/examples/test_flow_pages",
    "docs/how-to/flows/test-a-flow.md": "../flows/examples/test_flow_pages",
    "docs/how-to/mcp-clients.md": "../sidecar/mcp/test_mcp_clients_page",
    "docs/how-to/pack-commands.md": "test_pack_commands",
    "docs/how-to/plan.md": "../packs/plan/test_plan_how_to",
    "docs/how-to/practise-a-bad-day.md": "test_how_to",
    "docs/how-to/reload.md": "../sidecar/reload/test_reload_page",
    "docs/how-to/rotate-credentials.md": "../rotation/test_rotation_page",
    "docs/how-to/run-the-sidecar.md": "test_how_to",
    "docs/how-to/sidekick.md": "../packs/sidekick/cli/test_how_to",
    "docs/how-to/systemd.md": "../sidecar/systemd/test_systemd_page",
    "docs/how-to/trace.md": "../sidecar/tracing/test_trace_page",
    "docs/how-to/watch.md": "../observability/test_watch_page",
    "docs/how-to/write-an-adapter.md": "../adapters/test_how_to",
    "docs/reference/control-socket.md": "test_reference_pages",
    "docs/how-to/verify-the-journal.md": "test_verify_the_journal",
    "docs/reference/journal.md": "test_reference_pages",
    "docs/reference/tools-http.md": "test_tools_http",
    "docs/operations.md": "test_operations",
    "docs/tutorial/first-flow.md": "../flows/examples/test_flow_pages",
    "docs/tutorial/first-pack.md": "test_first_pack",
}
"""Pages with blocks that are executed, and the test beside this one that does it."""
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`((?:conductor|flows)(?: [^`\n]+))`")
PROGRAMS: dict[str, click.Group] = {"conductor": cli, "flows": flows}
MADE = {"docs/how-to/pack-commands.md": "conductor acme-jobs"}
"""A page that makes a command itself, and uses it where it is executed."""
HINT = re.compile(r"(?:\bconductor(?: [^;,()]+| --\w+)|(?<=: )flows [^;,()]+)")
HINTED = re.compile(r"\bdocs/[\w./-]+\.\w+")
PAGES = [str(path.relative_to(ROOT)) for path in pages()]


def text_of(page: str) -> str:
    """The page without its blocks."""
    return re.sub(
        r"^```.*?^```$", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text_of(str(path.relative_to(ROOT))), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.replace(" ", "-"))
    return found


def refusal(words: list[str]) -> str | None:
    """Say what of a command does not exist; placeholders stand for arguments."""
    group: click.Command = PROGRAMS[words[0]]
    context = click.Context(group, info_name=words[0])
    rest = words[1:]
    while True:
        try:
            _, rest, _ = group.make_parser(context).parse_args(args=rest)
        except click.UsageError as error:
            return error.format_message()
        if not isinstance(group, click.Group) or not rest:
            return None
        found = group.get_command(context, rest[0])
        if found is None:
            return f"no command {rest[0]!r}"
        group, rest = found, rest[1:]
        context = click.Context(found, parent=context, info_name=found.name)


def commands_of(page: str) -> Iterator[str]:
    yield from SPAN.findall(text_of(page))
    for block in blocks(ROOT / page):
        if block.language == "console":
            yield from (command for command, _ in block.steps if command.split()[0] in PROGRAMS)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_inside_leads_to_a_file_and_a_heading(page: str) -> None:
    dead: list[str] = []
    for target in LINK.findall(text_of(page)):
        name, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (ROOT / page).parent / name if name else ROOT / page
        if not path.exists() or (anchor and anchor not in anchors(path.resolve())):
            dead.append(target)

    assert [] == dead


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_a_page_exists_with_its_options(page: str) -> None:
    told = {
        command: refusal(shlex.split(command.partition(" | ")[0].replace("…", "X")))
        for command in commands_of(page)
        if not command.startswith(MADE.get(page, "\0"))
    }

    assert {} == {command: said for command, said in told.items() if said}


def test_a_command_that_does_not_exist_is_found_out() -> None:
    assert refusal(["conductor", "nonsense"])
    assert refusal(["conductor", "dev", "nonsense"])
    assert refusal(["conductor", "dev", "--directory", "D", "send", "--nonsense"])
    assert refusal(["flows", "nonsense"])
    assert refusal(["flows", "run", "local", "SPEC", "--nonsense"])
    assert refusal(["conductor", "status", "--json"]) is None
    assert refusal(["flows", "resume", "show", "ID"]) is None


def test_every_command_that_a_hint_names_exists() -> None:
    generate = runpy.run_path(str(ROOT / "docs/generate.py"))
    errors: dict[str, type[ConductorError]] = generate["error_classes"]()
    hints = [(code, error.default_hint) for code, error in errors.items()]
    hints += [(code, entry.hint) for code, entry in CODES.items()]
    told: dict[str, str] = {}
    for code, hint in hints:
        for command in HINT.findall(hint):
            said = refusal(shlex.split(command.split(" then")[0]))
            if said:
                told[code] = f"{command}: {said}"

    assert {} == told
    assert any("flows " in hint for _, hint in hints)


def test_every_page_that_the_code_names_exists() -> None:
    named = {name for path in sources() for name in HINTED.findall(path.read_text("utf-8"))}

    assert "docs/reference/events.md" in named
    assert set() == {name for name in named if not (ROOT / name).exists()}


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {
        str((index.parent / link.partition("#")[0]).resolve().relative_to(ROOT))
        for link in LINK.findall(index.read_text("utf-8"))
    }

    assert set() == {page for page in PAGES if page.startswith("docs/")} - linked - {
        "docs/README.md"
    }


def runnable(block: Block) -> bool:
    shown = block.language in {"", "mermaid", "text"}
    return not shown and not block.page.match("reference/commands.md")


def test_every_block_that_can_run_is_run_by_a_test() -> None:
    found = {
        str(page.relative_to(ROOT))
        for page in pages()
        if "examples" not in page.parts and any(map(runnable, blocks(page)))
    }

    assert set(EXECUTED) == found
    for page, test in EXECUTED.items():
        source = (Path(__file__).parent / f"{test}.py").read_text("utf-8")
        assert Path(page).name in source, f"{test} does not read {page}"


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/reference/commands.md").read_text("utf-8")

    for name in cli.list_commands(click.Context(cli)):
        assert f"\n## conductor {name}\n" in text
    for alias in ALIASES:
        assert f"`conductor {alias}`" in text
