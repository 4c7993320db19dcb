"""Which packs run here, and who gets and who emits which kind.

Promise: one bad pack never stops the others, and every refusal is kept with all its reasons. The
same candidates give the same registry. Refusal: once built it never changes; loading again makes
another one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conductor_handlers.pack_directory import load_directory
from conductor_handlers.pack_sources import Candidate, given_pack, import_pack, installed_packs
from conductor_sdk.event import KERNEL_KINDS, RESERVED_SLUGS
from conductor_sdk.handler import Subscription
from conductor_sdk.manifest import BackpressureKind
from conductor_sdk.pack import Pack
from conductor_sdk.pack_errors import PackRefused, SlugTaken
from conductor_sdk.pack_rules import DEFAULT_SURFACES, validate

KERNEL = "kernel"
"""The emitter of the bare kinds."""


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """A pack that passed every check."""

    slug: str
    version: str
    source: str
    """Where it came from, for people."""
    pack: Pack
    subscriptions: Mapping[str, Subscription]
    """By kind; bare handlers are wrapped."""
    module: str = ""
    """As `Candidate.module`."""

    @property
    def emits(self) -> tuple[str, ...]:
        """The kinds that it may push."""
        return tuple(self.pack.manifest.emitted_event_kinds)

    @property
    def subscribes(self) -> tuple[str, ...]:
        """The kinds that it handles."""
        return tuple(self.pack.manifest.subscribed_event_kinds)


@dataclass(frozen=True, slots=True)
class RefusedPack:
    """A pack that is not loaded, and why."""

    name: str
    source: str
    problems: tuple[PackRefused, ...]


@dataclass(frozen=True, slots=True)
class DisabledPack:
    """A pack that the configuration turns off."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Registry:
    """What was loaded. Look-ups are one dict access."""

    packs: tuple[LoadedPack, ...] = ()
    """Sorted by slug."""
    refused: tuple[RefusedPack, ...] = ()
    disabled: tuple[DisabledPack, ...] = ()
    _by_slug: Mapping[str, LoadedPack] = field(default_factory=dict[str, LoadedPack], repr=False)
    _subscribers: Mapping[str, tuple[tuple[str, Subscription], ...]] = field(
        default_factory=dict[str, tuple[tuple[str, Subscription], ...]], repr=False
    )
    _policies: Mapping[str, BackpressureKind] = field(
        default_factory=dict[str, BackpressureKind], repr=False
    )

    def pack(self, slug: str) -> LoadedPack | None:
        """Return a loaded pack."""
        return self._by_slug.get(slug)

    def subscribers(self, kind: str) -> tuple[tuple[str, Subscription], ...]:
        """Return (slug, subscription) of every pack that handles `kind`, sorted by slug."""
        return self._subscribers.get(kind, ())

    @property
    def subscribed_kinds(self) -> tuple[str, ...]:
        """Every kind that some pack handles, sorted."""
        return tuple(sorted(self._subscribers))

    def policy(self, kind: str) -> BackpressureKind | None:
        """Return the policy of an outbound kind; None: nobody here emits it.

        The daemon's own kinds and the bare kernel kinds are queued.
        """
        policy = self._policies.get(kind)
        return policy or ("queue" if self._own(kind) else None)

    def emitter(self, kind: str) -> str | None:
        """Return the slug of whoever emits `kind` here; `kernel` for the bare kinds."""
        if kind in self._policies:
            return kind.split(":", 1)[0]
        return self._own(kind)

    def without(self, problems: Mapping[str, PackRefused]) -> Registry:
        """Return another registry that refuses the packs of these slugs, each for its reason."""
        loaded = {pack.slug: pack for pack in self.packs if pack.slug not in problems}
        refused = [
            RefusedPack(pack.slug, pack.source, (problems[pack.slug],))
            for pack in self.packs
            if pack.slug in problems
        ]
        return _indexed(loaded, [*self.refused, *refused], self.disabled)

    def _own(self, kind: str) -> str | None:
        if kind in KERNEL_KINDS:
            return KERNEL
        slug, _, name = kind.partition(":")
        return slug if name and slug in RESERVED_SLUGS else None


def load_registry(
    *,
    packs: Sequence[Pack] = (),
    directories: Sequence[Path] = (),
    installed: bool = True,
    enabled: Mapping[str, bool] | None = None,
    surfaces: Collection[str] = DEFAULT_SURFACES,
    approval_providers: Collection[str] = (),
    revised: Callable[[Candidate, Pack], Pack] | None = None,
) -> Registry:
    """Find, import and check packs. Never raises for a bad pack.

    Args:
        packs: Objects; they come first.
        directories: Pack projects that are not installed; in this order, after the objects.
        installed: Whether entry points are looked up.
        enabled: Entry-point names or slugs that the configuration turns on or off; hyphen and
            underscore are one. A pack that is not named is on; one that is off is not imported.
        surfaces: The surfaces that are available; those that loaded packs provide come on top.
        approval_providers: As `pack_rules.validate`.
        revised: Gives an imported pack as it is to be judged; may raise PackRefused.
    """
    candidates = [given_pack(pack) for pack in packs]
    refused: list[RefusedPack] = []
    for directory in directories:
        try:
            candidates += load_directory(directory)
        except PackRefused as error:
            refused.append(RefusedPack(directory.name, str(directory), (error,)))
    if installed:
        candidates += installed_packs()
    switches = {_plain(name): on for name, on in (enabled or {}).items()}
    return _build(candidates, refused, switches, surfaces, approval_providers, revised)


@dataclass(frozen=True, slots=True)
class _Found:
    """A candidate that could be imported and is on."""

    candidate: Candidate
    pack: Pack


def _build(
    candidates: Iterable[Candidate],
    refused: Sequence[RefusedPack],
    switches: Mapping[str, bool],
    surfaces: Collection[str],
    approval_providers: Collection[str],
    revised: Callable[[Candidate, Pack], Pack] | None,
) -> Registry:
    found, disabled = _imported(candidates, switches, problems := list(refused), revised)
    provided = {surface for each in found for surface in each.pack.provides}
    # A pack that provides a surface may itself be refused; then those that require it are too.
    # What is provided only ever shrinks, so this ends.
    while True:
        loaded, wrong = _checked(found, {*surfaces, *provided}, approval_providers)
        remaining = {surface for each in loaded.values() for surface in each.pack.provides}
        if remaining == provided:
            return _indexed(loaded, [*problems, *wrong], disabled)
        provided = remaining


def _imported(
    candidates: Iterable[Candidate],
    switches: Mapping[str, bool],
    refused: list[RefusedPack],
    revised: Callable[[Candidate, Pack], Pack] | None,
) -> tuple[list[_Found], list[DisabledPack]]:
    found: list[_Found] = []
    disabled: list[DisabledPack] = []
    for candidate in candidates:
        if not switches.get(_plain(candidate.name), True):
            disabled.append(DisabledPack(candidate.name, candidate.source))
            continue
        try:
            pack = import_pack(candidate)
            pack = pack if revised is None else revised(candidate, pack)
        except PackRefused as error:
            refused.append(RefusedPack(candidate.name, candidate.source, (error,)))
            continue
        slug = pack.manifest.slug
        if switches.get(_plain(slug), True):
            found.append(_Found(candidate, pack))
        else:
            disabled.append(DisabledPack(slug, candidate.source))
    return found, disabled


def _checked(
    found: Iterable[_Found], surfaces: Collection[str], approval_providers: Collection[str]
) -> tuple[dict[str, LoadedPack], list[RefusedPack]]:
    loaded: dict[str, LoadedPack] = {}
    refused: list[RefusedPack] = []
    for each in found:
        candidate, pack = each.candidate, each.pack
        slug = pack.manifest.slug
        problems = validate(
            pack.manifest,
            pack.handlers,
            surfaces=surfaces,
            approval_providers=approval_providers,
        )
        if slug in loaded:
            problems.append(_taken(slug, loaded[slug]))
        if problems:
            refused.append(RefusedPack(candidate.name, candidate.source, tuple(problems)))
        else:
            loaded[slug] = _loaded(candidate, pack)
    return loaded, refused


def _loaded(candidate: Candidate, pack: Pack) -> LoadedPack:
    subscriptions = {
        kind: handler if isinstance(handler, Subscription) else Subscription(handler)
        for kind, handler in pack.handlers.items()
    }
    manifest = pack.manifest
    return LoadedPack(
        manifest.slug, manifest.version, candidate.source, pack, subscriptions, candidate.module
    )


def _indexed(
    loaded: Mapping[str, LoadedPack],
    refused: Sequence[RefusedPack],
    disabled: Sequence[DisabledPack],
) -> Registry:
    packs = tuple(loaded[slug] for slug in sorted(loaded))
    subscribers: dict[str, tuple[tuple[str, Subscription], ...]] = {}
    policies: dict[str, BackpressureKind] = {}
    for pack in packs:
        policies |= pack.pack.manifest.backpressure_policy
        for kind, subscription in pack.subscriptions.items():
            subscribers[kind] = (*subscribers.get(kind, ()), (pack.slug, subscription))
    by_slug = {pack.slug: pack for pack in packs}
    return Registry(packs, tuple(refused), tuple(disabled), by_slug, subscribers, policies)


def _taken(slug: str, first: LoadedPack) -> SlugTaken:
    return SlugTaken(
        f"{slug!r} is loaded from {first.source}", value=slug, data={"loaded_from": first.source}
    )


def _plain(name: str) -> str:
    return name.replace("_", "-").lower()
