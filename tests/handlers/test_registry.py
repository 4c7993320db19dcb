"""Finding, checking and indexing packs."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conductor_handlers.pack_directory import load_directory
from conductor_handlers.pack_sources import Candidate, import_pack, installed_packs
from conductor_handlers.registry import Registry, load_registry
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sdk.pack_errors import ManifestInvalid, PackNotAPack, PackNotFound

SUBSCRIBED = "conductor:recovery_requested"


async def handle(event: KernelEvent, ctx: object) -> Outcome:
    return Handled()


def make(slug: str, **fields: Any) -> Pack:
    manifest = {
        "id": slug,
        "version": "1.0.0",
        "emitted_event_kinds": [f"{slug}:done"],
        "backpressure_policy": {f"{slug}:done": "ephemeral"},
        "subscribed_event_kinds": [SUBSCRIBED],
    }
    return Pack(PackManifest.from_mapping({**manifest, **fields}), {SUBSCRIBED: handle})


def registry(*packs: Pack, **options: Any) -> Registry:
    return load_registry(packs=packs, installed=False, **options)


def codes(found: Registry) -> dict[str, list[str]]:
    return {each.name: [problem.code for problem in each.problems] for each in found.refused}


@pytest.fixture(autouse=True)
def imports_are_put_back(tmp_path: Path) -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(tmp_path) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, files: dict[str, str], entry: str | None = None) -> Path:
        root = tmp_path / name
        for file, text in files.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(textwrap.dedent(text))
        if entry:
            table = f'[project.entry-points."conductor.packs"]\nacme = "{entry}"\n'
            (root / "pyproject.toml").write_text(table)
        return root

    return write


MINIMAL = """
    from conductor_sdk import Pack, PackManifest
    pack = Pack(PackManifest(id="{slug}", version="{version}"))
    """


def minimal(slug: str = "acme", version: str = "1.0.0") -> str:
    return MINIMAL.format(slug=slug, version=version)


def test_the_built_in_pack_is_found_by_its_entry_point() -> None:
    found = load_registry()
    assert "acme-demo" in [each.slug for each in found.packs]
    assert found.refused == ()
    assert found.policy("acme-demo:job_queued") == "queue"
    assert found.policy("acme-demo:job_completed") == "ephemeral"


def test_candidates_come_ours_first_then_by_name() -> None:
    names = [(each.source.startswith("conductor-sidecar"), each.name) for each in installed_packs()]
    assert names == sorted(names, key=lambda item: (not item[0], item[1]))


def test_subscribers_of_a_kind_are_sorted_by_slug_and_wrapped() -> None:
    found = registry(make("zebra"), make("acme"))
    slugs = [slug for slug, _ in found.subscribers(SUBSCRIBED)]
    assert slugs == ["acme", "zebra"]
    assert found.subscribers(SUBSCRIBED)[0][1] == Subscription(handle)
    assert found.subscribers("conductor:other") == ()
    assert found.subscribed_kinds == (SUBSCRIBED,)


@pytest.mark.parametrize(
    ("kind", "emitter", "policy"),
    [
        ("acme:done", "acme", "ephemeral"),
        ("acme:other", None, None),
        ("conductor:gap_detected", "conductor", "queue"),
        ("agent-runtime:tool_called", "agent-runtime", "queue"),
        ("task_created", "kernel", "queue"),
        ("unknown", None, None),
        ("conductor", None, None),
    ],
)
def test_every_kind_has_an_emitter_and_a_policy_or_none(
    kind: str, emitter: str | None, policy: str | None
) -> None:
    found = registry(make("acme"))
    assert (emitter, policy) == (found.emitter(kind), found.policy(kind))


def test_a_loaded_pack_tells_what_hello_needs() -> None:
    loaded = registry(make("acme")).pack("acme")
    assert loaded is not None
    assert (loaded.slug, loaded.version) == ("acme", "1.0.0")
    assert loaded.emits == ("acme:done",)
    assert loaded.subscribes == (SUBSCRIBED,)
    assert registry().pack("acme") is None


def test_one_bad_pack_does_not_stop_the_others() -> None:
    bad = make("bad", backpressure_policy={}, surfaces_required=["sidekick-channel"])
    found = registry(bad, make("good"))
    assert [each.slug for each in found.packs] == ["good"]
    assert codes(found) == {"bad": ["BACKPRESSURE_MISSING", "SURFACE_UNAVAILABLE"]}


def test_surfaces_and_approvals_come_from_outside() -> None:
    pack = make("acme", surfaces_required=["sidekick-channel"], required_approvals=["acme:destroy"])
    assert codes(registry(pack)) == {"acme": ["SURFACE_UNAVAILABLE", "APPROVAL_PROVIDER_MISSING"]}
    assert not registry(
        pack, surfaces={"sidekick-channel"}, approval_providers={"acme:destroy"}
    ).refused


def test_of_two_packs_with_one_slug_the_first_stays() -> None:
    found = registry(make("acme", version="1.0.0"), make("acme", version="2.0.0"))
    assert [(each.slug, each.version) for each in found.packs] == [("acme", "1.0.0")]
    [refused] = found.refused
    assert refused.problems[0].code == "SLUG_TAKEN"
    assert "'acme' is loaded from given" in refused.problems[0].message


@pytest.mark.parametrize("slug", ["conductor", "agent-runtime"])
def test_the_daemons_slugs_are_refused(slug: str) -> None:
    assert codes(registry(make(slug))) == {slug: ["SLUG_RESERVED"]}


@pytest.mark.parametrize("name", ["acme-demo", "acme_demo", "ACME-Demo"])
def test_a_pack_that_is_turned_off_is_not_even_imported(name: str) -> None:
    for module in [module for module in sys.modules if module.startswith("conductor_packs.acme")]:
        del sys.modules[module]
    found = load_registry(enabled={name: False})
    assert "acme-demo" not in [each.slug for each in found.packs]
    assert "acme_demo" in [each.name for each in found.disabled]
    assert "conductor_packs.acme_demo.pack" not in sys.modules


def test_a_pack_is_turned_off_by_its_slug_too(project: Callable[..., Path]) -> None:
    root = project("p", {"mine.py": minimal("slug-of-mine")}, "mine:pack")
    found = load_registry(directories=[root], installed=False, enabled={"slug-of-mine": False})
    assert [each.name for each in found.disabled] == ["slug-of-mine"]
    assert found.packs == ()


def test_a_project_is_loaded_by_its_entry_point_from_src(project: Callable[..., Path]) -> None:
    root = project(
        "p",
        {
            "src/acme_x/__init__.py": "",
            "src/acme_x/pack.py": "from acme_x.parts import pack",
            "src/acme_x/parts.py": minimal(),
        },
        "acme_x.pack:pack",
    )
    [loaded] = load_registry(directories=[root], installed=False).packs
    assert (loaded.slug, loaded.source) == ("acme", str(root))


def test_a_bare_directory_is_loaded_by_its_pack_py(project: Callable[..., Path]) -> None:
    first = project("one", {"pack.py": "from neighbour import pack", "neighbour.py": minimal("a")})
    second = project(
        "two", {"pack.py": "from .neighbour import pack", "neighbour.py": minimal("b")}
    )
    third = project(
        "three", {"pack.py": "from neighbour import pack", "neighbour.py": minimal("c")}
    )
    found = load_registry(directories=[first, second, third], installed=False)
    assert [each.slug for each in found.packs] == ["a", "b", "c"]
    assert found.refused == ()


def test_a_project_is_read_fresh_each_time(project: Callable[..., Path]) -> None:
    files = {"acme_y.py": minimal(version="1.0.0")}
    root = project("p", files, "acme_y:pack")
    assert load_registry(directories=[root], installed=False).packs[0].version == "1.0.0"
    (root / "acme_y.py").write_text(textwrap.dedent(minimal(version="10.0.0")))
    assert load_registry(directories=[root], installed=False).packs[0].version == "10.0.0"


def test_imports_inside_functions_still_find_the_project(project: Callable[..., Path]) -> None:
    root = project(
        "p",
        {
            "pack.py": minimal() + "\n    def late():\n        import late_part\n"
            "        return late_part.VALUE\n    pack.manifest.__dict__['late'] = late\n",
            "late_part.py": "VALUE = 7",
        },
    )
    [loaded] = load_registry(directories=[root], installed=False).packs
    assert loaded.pack.manifest.__dict__["late"]() == 7
    assert sys.path[0] != str(root)


@pytest.mark.parametrize(
    ("code", "expected", "told"),
    [
        ("import no_such_module", "PACK_IMPORT_FAILED", "No module named 'no_such_module'"),
        ("raise SystemExit(3)", "PACK_IMPORT_FAILED", "SystemExit: 3"),
        ("pack = 7", "PACK_NOT_A_PACK", "holds a int"),
        ("other = 7", "PACK_IMPORT_FAILED", "has no attribute 'pack'"),
        ("def (", "PACK_IMPORT_FAILED", "SyntaxError"),
        (
            "from conductor_sdk import PackManifest\nPackManifest(id='a', version='1', x=1)",
            "MANIFEST_INVALID",
            "/version",
        ),
        (
            "from conductor_sdk import PackManifest\nPackManifest.from_mapping({})",
            "MANIFEST_INVALID",
            "/id: required",
        ),
    ],
)
def test_a_pack_that_cannot_be_imported_is_refused_with_its_reason(
    project: Callable[..., Path], code: str, expected: str, told: str
) -> None:
    root = project("p", {"broken.py": code}, "broken:pack")
    found = load_registry(packs=[make("good")], directories=[root], installed=False)
    assert [each.slug for each in found.packs] == ["good"]
    [problem] = found.refused[0].problems
    assert (problem.code, told in problem.message) == (expected, True)


def test_an_import_failure_names_its_line(project: Callable[..., Path]) -> None:
    root = project("p", {"broken.py": "a = 1\nb = a / 0\n"}, "broken:pack")
    [refused] = load_registry(directories=[root], installed=False).refused
    assert f"{root / 'broken.py'}:2" in refused.problems[0].message


def test_a_project_cannot_shadow_the_standard_library(project: Callable[..., Path]) -> None:
    root = project("p", {"json.py": minimal()}, "json:pack")
    [refused] = load_registry(directories=[root], installed=False).refused
    assert "json is a module of the standard library" in refused.problems[0].message


@pytest.mark.parametrize(
    "text", ["not toml", "project = 7", '[project]\nentry-points = "x"\n', "\udcff"]
)
def test_an_unreadable_pyproject_is_a_coded_refusal(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ManifestInvalid, match=r"pyproject\.toml"):
        load_directory(tmp_path)


def test_a_directory_without_a_pack_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PackNotFound) as caught:
        load_directory(tmp_path)
    assert caught.value.hint == "make one: conductor pack new NAME"
    assert codes(load_registry(directories=[tmp_path], installed=False)) == {
        tmp_path.name: ["PACK_NOT_FOUND"]
    }


def test_only_a_pack_is_a_pack() -> None:
    with pytest.raises(PackNotAPack, match="holds a function"):
        import_pack(Candidate("x", "given", lambda: make))
