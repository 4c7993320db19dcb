"""Whether a pack may be loaded: manifest against handlers, surfaces and approvals.

Promise: pure, and it reports all problems at once, in a fixed order. Refusal: it imports no pack,
calls no handler and knows no other pack; that two packs share a slug is the registry's finding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from conductor_sdk.event import RESERVED_SLUGS, is_kind
from conductor_sdk.handler import Handler, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack_errors import (
    ApprovalForeign,
    ApprovalProviderMissing,
    BackpressureExtra,
    BackpressureMissing,
    HandlerExtra,
    HandlerMissing,
    ManifestInvalid,
    PackRefused,
    SlugMismatch,
    SlugReserved,
    SurfaceUnavailable,
    ToolDuplicate,
)

DEFAULT_SURFACES = frozenset({"http", "mcp"})
"""What a daemon offers unless it is configured otherwise."""


def validate(
    manifest: PackManifest,
    handlers: Mapping[str, Handler | Subscription],
    *,
    surfaces: Collection[str] = DEFAULT_SURFACES,
    approval_providers: Collection[str] = (),
) -> list[PackRefused]:
    """Return every reason to refuse the pack; empty: it may be loaded.

    Args:
        manifest: The pack's manifest.
        handlers: What the pack registered, by kind.
        surfaces: The surfaces that are available.
        approval_providers: The approvals that installed providers give: exact names, `<slug>:*`
            for all of one pack, or `*` for all.
    """
    return [
        *_slug(manifest),
        *_emitted(manifest),
        *_subscribed(manifest, handlers),
        *_tools(manifest),
        *_surroundings(manifest, surfaces, approval_providers),
    ]


def _slug(manifest: PackManifest) -> Iterator[PackRefused]:
    if manifest.slug in RESERVED_SLUGS:
        yield SlugReserved(repr(manifest.slug), value=manifest.slug)


def _emitted(manifest: PackManifest) -> Iterator[PackRefused]:
    slug, policy = manifest.slug, manifest.backpressure_policy
    for index, kind in enumerate(manifest.emitted_event_kinds):
        name = kind.rsplit(":", 1)[-1]
        if not kind.startswith(slug + ":"):
            yield SlugMismatch(
                f"{kind!r} in the pack {slug!r}",
                value=kind,
                hint=f"rename it to {slug}:{name}, or change the slug",
            )
        elif not is_kind(kind):
            yield _not_a_kind(f"/emitted_event_kinds/{index}", kind)
        if kind not in policy:
            yield BackpressureMissing(
                repr(kind), value=kind, hint=f"add to backpressure_policy: {kind}: queue"
            )
    for kind in policy:
        if kind not in manifest.emitted_event_kinds:
            yield BackpressureExtra(
                repr(kind), value=kind, hint=f"remove {kind}, or add it to emitted_event_kinds"
            )


def _subscribed(
    manifest: PackManifest, handlers: Mapping[str, Handler | Subscription]
) -> Iterator[PackRefused]:
    for index, kind in enumerate(manifest.subscribed_event_kinds):
        if not is_kind(kind):
            yield _not_a_kind(f"/subscribed_event_kinds/{index}", kind)
        if kind not in handlers:
            yield HandlerMissing(
                repr(kind), value=kind, hint=f'add to the pack\'s handlers: {{"{kind}": handler}}'
            )
    for kind in handlers:
        if kind not in manifest.subscribed_event_kinds:
            yield HandlerExtra(repr(kind), value=kind, hint=f"add {kind} to subscribed_event_kinds")


def _tools(manifest: PackManifest) -> Iterator[PackRefused]:
    seen: set[str] = set()
    for tool in manifest.tools:
        if tool.name in seen:
            yield ToolDuplicate(repr(tool.name), value=tool.name)
        seen.add(tool.name)
        for approval in tool.required_approvals:
            if not approval.startswith(manifest.slug + ":"):
                yield ApprovalForeign(
                    f"{approval!r} of the tool {tool.name!r}",
                    value=approval,
                    hint=f"name it {manifest.slug}:{approval.rsplit(':', 1)[-1]}",
                )


def _surroundings(
    manifest: PackManifest, surfaces: Collection[str], providers: Collection[str]
) -> Iterator[PackRefused]:
    for surface in manifest.surfaces_required:
        if surface not in surfaces:
            yield SurfaceUnavailable(
                f"{surface!r}; available: {', '.join(sorted(surfaces)) or 'none'}", value=surface
            )
    for approval in manifest.required_approvals:
        owner = approval.split(":", 1)[0]
        if not {approval, f"{owner}:*", "*"} & set(providers):
            yield ApprovalProviderMissing(repr(approval), value=approval)


def _not_a_kind(pointer: str, kind: str) -> ManifestInvalid:
    return ManifestInvalid(
        f"{pointer}: {kind!r} is not <slug>:<event_name_snake_case>",
        value=kind,
        hint=f"correct {pointer}",
        data={"problems": [{"pointer": pointer, "message": "not a kind", "value": kind}]},
    )
