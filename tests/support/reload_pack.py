"""Packs of the reload suites, with their manifests in files beside this module's copy.

`install_packs` writes two of them as modules of their own: `reload_steady`, whose handler counts
what it sees, and `reload_guest`, which comes and goes and chooses its tools by a function.
"""

from __future__ import annotations

from pathlib import Path

from installed import install

ASKED = "conductor:job_asked"
STEADY = "reload-steady"
GUEST = "reload-guest"
_MANIFEST = """\
id: {slug}
version: {version}
config_key: {slug}
subscribed_event_kinds: ["{asked}"]
emitted_event_kinds: ["{slug}:thing_queued"{more}]
backpressure_policy: {{"{slug}:thing_queued": queue{policies}}}
tools:
  - name: {tool}
    entry: {module}.pack:say
    permission: read
    required_scopes: [{{type: path, pattern: "**", access: read}}]
    description: "{description}"
"""
_MODULE = '''\
"""Counts what it handles."""

import asyncio
from collections import Counter
from pathlib import Path

from conductor_sdk.handler import Handled, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sdk.tool_output import succeeded

handled = []
calls = Counter()
greetings = []
running = set()
gate = asyncio.Event()
said = []


async def on_asked(event, ctx):
    number = event.payload["n"]
    calls[number] += 1
    if event.payload.get("do") == "wait":
        await gate.wait()
    elif event.payload.get("do") == "push":
        await ctx.push("{slug}:thing_queued", {{"n": number}}, key=str(number))
    else:
        await asyncio.sleep(0)
    greetings.append(ctx.config.get("greeting"))
    handled.append(number)
    return Handled()


async def say(given, ctx):
    said.append(given)
    if given.get("wait"):
        await gate.wait()
    return succeeded({{"said": True}})


def lane(event):
    return str(event.payload.get("lane"))


async def background(ctx):
    running.add(ctx.config.get("greeting"))
    try:
        await asyncio.Event().wait()
    finally:
        running.discard(ctx.config.get("greeting"))


def context(ctx):
    if ctx.config.get("refuse"):
        raise ValueError("asked to refuse")
    return ctx


manifest = PackManifest.from_yaml(Path(__file__).with_name("manifest.yaml"))


def toolset(config):
    if config.get("toolset") == "own":
        return [tool.model_copy(update={{"title": "Made in code"}}) for tool in manifest.tools]
    return manifest.tools


pack = Pack(
    manifest=manifest,
    handlers={{"{asked}": Subscription(on_asked, partition_key=lane)}},
    context=context, background=background, toolset=toolset if {chooses} else None,
)
'''


def manifest(slug: str, *, version: str = "1.0.0", description: str = "Says it.", more: str = "",
             tool: str = "") -> str:  # fmt: skip
    """The text of a manifest; `more` is one more kind that the pack emits."""
    kind = f"{slug}:{more}"
    return _MANIFEST.format(
        slug=slug, version=version, asked=ASKED, description=description, module=module_of(slug),
        tool=tool or f"{slug}:say",
        more=f', "{kind}"' if more else "", policies=f', "{kind}": queue' if more else "",
    )  # fmt: skip


def module_of(slug: str) -> str:
    return slug.replace("-", "_")


def install_packs(directory: Path) -> Path:
    """Write the packs; returns the directory for the import path."""
    points: dict[str, str] = {}
    for slug in (STEADY, GUEST):
        package = directory / module_of(slug)
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "manifest.yaml").write_text(manifest(slug))
        (package / "pack.py").write_text(
            _MODULE.format(slug=slug, asked=ASKED, chooses=slug == GUEST)
        )
        points[module_of(slug)] = f"{module_of(slug)}.pack:pack"
    return install(
        directory, packs=points, adapters={"inprocess": "conductor_adapters.memory:adapter"}
    )
