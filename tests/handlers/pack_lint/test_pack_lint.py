"""The checks of `conductor pack validate`; V1-V16 are the cases of the pack validator."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conductor_handlers.pack_lint import imports
from conductor_handlers.pack_lint.lint import CHECKS, lint_pack
from conductor_handlers.pack_lint.place import directory_places, installed_places
from conductor_handlers.pack_lint.verdict import Check, PackVerdict
from conductor_handlers.registry import load_registry
from conductor_sdk.pack_hash import tree_hash
from house import ROOT
from typed import shown

SCHEMA = {"type": "object", "additionalProperties": False}


def path_scope(pattern: str, access: str) -> dict[str, str]:
    return {"type": "path", "pattern": pattern, "access": access}


def tool(**changes: Any) -> dict[str, Any]:
    return {
        "name": "note:write", "entry": "acme_notes.tools:write", "permission": "write",
        "required_scopes": [path_scope(".notes/**", "read"), path_scope(".notes/**", "write")],
        "input_schema": SCHEMA, "output_schema": {"type": "object"}, **changes,
    }  # fmt: skip


TOOLS = '''"""Tools."""
import asyncio
from conductor_sdk.tool_output import succeeded
from acme_notes import text

NUMBER = 3


async def write(input, ctx):
    await asyncio.sleep(0)
    return succeeded({"text": text.TEXT})


async def short(input):
    return succeeded()
'''
PACK = '''"""The pack."""
from pathlib import Path
from conductor_sdk import Pack, PackManifest

pack = Pack(PackManifest.from_yaml(Path(__file__).with_name("manifest.yaml")))
'''


class Project:
    """A pack project, made to be spoilt."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.package = path / "src" / "acme_notes"
        self.package.mkdir(parents=True)
        (path / "pyproject.toml").write_text(
            '[project]\nname = "acme-notes"\nversion = "0.1.0"\ndependencies = ["msgspec>=0.20"]\n'
            '[project.entry-points."conductor.packs"]\nacme_notes = "acme_notes.pack:pack"\n'
        )
        self.write("__init__.py", "")
        self.write("text.py", "TEXT = 'hello'\n")
        self.write("tools.py", TOOLS)
        self.write("pack.py", PACK)
        self.declare(tool())

    def write(self, name: str, text: str) -> None:
        (self.package / name).write_text(text)

    def declare(self, *tools: dict[str, Any], **fields: Any) -> None:
        manifest = {"id": "acme-notes", "version": "0.1.0", "tools": list(tools), **fields}
        self.write("manifest.yaml", yaml.safe_dump(json.loads(json.dumps(manifest))))

    def lint(self, pin: str | None = None) -> PackVerdict:
        registry = load_registry(directories=[self.path], installed=False)
        [place] = directory_places(self.path)
        pack = registry.packs[0].pack if registry.packs else None
        return lint_pack(place, pack, pin=pin)


@pytest.fixture(scope="module", autouse=True)
def installed_once() -> Iterator[None]:
    """No test here installs anything, and looking through all that is takes a quarter second."""
    with pytest.MonkeyPatch.context() as patch:
        look = functools.cache(imports.packages_distributions)
        patch.setattr(imports, "packages_distributions", look)
        yield


@pytest.fixture(autouse=True)
def fresh_imports() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name.split(".")[0] == "acme_notes"]:
        del sys.modules[name]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "acme-notes")


@pytest.fixture
def conductor(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        ran = shown(capsys, *words)
        return ran.code, ran.out

    return run


def statuses(verdict: PackVerdict) -> dict[str, str]:
    return {check.name: check.status for check in verdict.checks}


def of(verdict: PackVerdict, name: str) -> Check:
    return next(check for check in verdict.checks if check.name == name)


def rules(verdict: PackVerdict, name: str) -> list[str]:
    return [finding.rule for finding in of(verdict, name).findings]


def test_v1_a_valid_pack_passes_every_check(project: Project) -> None:
    verdict = project.lint()
    assert statuses(verdict) == dict.fromkeys(CHECKS, "pass")


def test_v2_a_bad_version_fails_the_manifest_and_skips_what_needs_it(project: Project) -> None:
    project.declare(tool(), version="one")
    verdict = project.lint()
    assert "/version" in of(verdict, "manifest").findings[0].where
    assert statuses(verdict) == {
        "manifest": "fail", "imports": "pass", "names": "skip", "entries": "skip",
        "security": "skip", "integrity": "pass",
    }  # fmt: skip
    assert of(verdict, "names").reason == "the manifest failed"


def test_v3_a_missing_manifest_fails(project: Project) -> None:
    (project.package / "manifest.yaml").unlink()
    verdict = project.lint()
    assert (rules(verdict, "manifest"), verdict.passed) == (["manifest_missing"], False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from ... import secrets_of_others", "outside of the pack"),
        ("from ...other import thing", "outside of the pack"),
        ("import conductor_state.journal", "not conductor_sdk"),
        ("from conductor_packs.acme_demo import pack", "not conductor_sdk"),
        ("def late():\n    import conductor_sidecar", "not conductor_sdk"),
        ("import importlib\nimportlib.import_module('conductor_sidecar.app')", "not conductor_sdk"),
        ("import importlib\nNAME = 'os'\nimportlib.import_module(NAME)", "computed"),
        ("__import__('conductor_handlers')", "not conductor_sdk"),
        ("import runpy\nrunpy.run_path('/tmp/x.py')", "computed"),
        ("from acme_notes.dist import hidden", "a tool's directory"),
        ("from acme_notes import dist", "a tool's directory"),
        ("from acme_notes import test_more", "a test of the pack"),
        ("from acme_notes.testing.suite import run", "a test of the pack"),
        ("from . import testing", "a test of the pack"),
    ],
)
def test_v4_an_import_that_leads_out_fails_with_its_line(
    project: Project, line: str, said: str
) -> None:
    for name in ("dist", "testing"):
        (project.package / name).mkdir()
    project.write("testing/suite.py", "import click")
    project.write("test_more.py", "import click")
    project.write("more.py", f'"""More."""\n{line}\n')
    verdict = project.lint()
    [finding] = of(verdict, "imports").findings
    assert (finding.rule, finding.where.startswith("more.py:"), said in finding.message) == (
        "import_outside", True, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "line", ["import click", "import no_such_package", "from yaml import dump"]
)
def test_v5_a_package_that_is_not_declared_fails(project: Project, line: str) -> None:
    project.write("more.py", line)
    assert rules(project.lint(), "imports") == ["import_outside"]


@pytest.mark.parametrize(
    "line",
    [
        "import msgspec", "from . import text", "from .text import TEXT", "import sqlite3",
        "from conductor_sdk.event import KernelEvent",
        "import conductor_terminal.printing", "import acme_notes.text", "import xml.etree",
    ],
)  # fmt: skip
def test_what_is_declared_or_the_packs_own_passes(project: Project, line: str) -> None:
    project.write("more.py", line)
    assert statuses(project.lint())["imports"] == "pass"


def test_tests_of_the_pack_may_import_what_they_like(project: Project) -> None:
    (project.package / "tests").mkdir()
    project.write("tests/helper.py", "import click")
    project.write("testing.py", "import pytest")
    project.write("testing_recall.py", "import pytest")
    project.write("test_more.py", "import click")
    project.write("conftest.py", "import click")
    assert statuses(project.lint())["imports"] == "pass"


@pytest.mark.parametrize("entry", ["../x:y", "/etc/x:y", "~/x:y"])
def test_v6_an_entry_that_leads_out_fails_the_entries_and_not_the_manifest(
    project: Project, entry: str
) -> None:
    project.declare(tool(entry=entry), tool(name="note:read"))
    verdict = project.lint()
    assert (statuses(verdict)["manifest"], rules(verdict, "entries")) == ("pass", ["entry_escapes"])
    assert of(verdict, "entries").findings[0].where == "/tools/0/entry"


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ("os:system", "entry_escapes"),
        ("conductor_packs.acme_demo.emit:queue_job", "entry_escapes"),
        ("acme_notes_evil.tools:write", "entry_escapes"),
        ("acme_notes.nothing:write", "entry_missing"),
        ("acme_notes.tools:nothing", "entry_missing"),
        ("acme_notes.tools:NUMBER", "entry_not_callable"),
        ("acme_notes.tools:short", "entry_signature"),
        ("tools.py#write", "entry_shape"),
    ],
)
def test_an_entry_must_exist_in_the_pack_and_be_callable(
    project: Project, entry: str, rule: str
) -> None:
    project.declare(tool(entry=entry))
    assert rules(project.lint(), "entries") == [rule]


def test_v7_the_hash_is_64_hex_digits_and_made_as_documented(project: Project) -> None:
    verdict = project.lint()
    assert verdict.integrity is not None
    whole = hashlib.sha256()
    for name in ("__init__.py", "manifest.yaml", "pack.py", "text.py", "tools.py"):
        content = hashlib.sha256((project.package / name).read_bytes()).hexdigest()
        whole.update(f"{name}\0{content}\0".encode())
    assert verdict.integrity == f"sha256:{whole.hexdigest()}"


def test_the_hash_leaves_out_caches_and_tool_directories_and_nothing_else(project: Project) -> None:
    before = tree_hash(project.package)
    for name in ("__pycache__/x.pyc", "node_modules/x.js", ".git/HEAD", "dist/x.py", ".DS_Store"):
        (project.package / name).parent.mkdir(exist_ok=True)
        project.write(name, "x")
    assert tree_hash(project.package) == before
    (project.package / "sub").mkdir()
    project.write("sub/data.json", "{}")
    assert tree_hash(project.package) != before


def test_a_symbolic_link_has_no_hash(project: Project, tmp_path: Path) -> None:
    (project.package / "link.py").symlink_to(tmp_path / "elsewhere.py")
    verdict = project.lint()
    assert (verdict.integrity, rules(verdict, "integrity")) == (None, ["not_hashable"])


@pytest.mark.parametrize("pattern", ["*", "**", "**/*", "./**", "./**/*"])
def test_v8_a_write_tool_on_everything_fails(project: Project, pattern: str) -> None:
    project.declare(tool(required_scopes=[path_scope(pattern, "write")]))
    assert rules(project.lint(), "security") == ["writes_everything"]


def test_v9_a_read_tool_with_a_write_scope_fails(project: Project) -> None:
    project.declare(tool(permission="read"))
    assert rules(project.lint(), "security") == ["read_tool_writes"]


def test_v10_a_write_tool_without_a_write_scope_fails(project: Project) -> None:
    project.declare(tool(required_scopes=[path_scope(".notes/**", "read")]))
    assert rules(project.lint(), "security") == ["write_tool_reads"]


def fetching(**url: Any) -> dict[str, Any]:
    scope = {"type": "network", "posture": "allowlist", "allowlist_entries": ["a.example:443"]}
    schema = {"type": "object", "properties": {"url": {"type": "string", **url}}}
    return tool(required_scopes=[scope], input_schema=schema)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ({"const": "http://a.example/"}, ["url_not_https"]),
        ({"enum": ["https://a.example/", "ftp://a.example/", 3]}, ["url_not_https"] * 2),
        ({"const": "https://[::1/"}, ["url_not_https"]),
        ({}, ["url_not_pinned"]),
        ({"const": "https://a.example/x"}, []),
        ({"enum": ["https://a.example/x", "https://a.example/y"]}, []),
    ],
)
def test_v11_a_tool_on_the_network_pins_https_urls(
    project: Project, url: dict[str, Any], found: list[str]
) -> None:
    project.declare(fetching(**url))
    assert rules(project.lint(), "security") == found


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("../x/**", "pattern_escapes"), ("a/../../b", "pattern_escapes"),
        ("/etc/**", "pattern_escapes"), ("~/x", "pattern_escapes"), ("a\\..\\b", "pattern_escapes"),
        ("C:/x", "pattern_escapes"),
        (".lumenflow/**", "pattern_reserved"), ("./.LumenFlow/state", "pattern_reserved"),
    ],
)  # fmt: skip
def test_a_pattern_stays_in_the_workspace_and_out_of_the_daemons_directory(
    project: Project, pattern: str, rule: str
) -> None:
    project.declare(tool(required_scopes=[path_scope(pattern, "write")]))
    assert rules(project.lint(), "security") == [rule]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"input_schema": {"type": "string"}}, "schema_not_object"),
        ({"output_schema": {"type": "array"}}, "schema_not_object"),
        ({"input_schema": None}, "schema_missing"),
        ({"input_schema": {"type": "object", "required": 3}}, "schema_invalid"),
    ],
)
def test_schemas_are_there_valid_and_of_objects(
    project: Project, changes: dict[str, Any], rule: str
) -> None:
    project.declare(tool(**changes))
    assert rules(project.lint(), "security") == [rule]


@pytest.mark.parametrize("name", ["note:write", "note_write", "note.write"])
def test_two_tools_of_one_name_or_one_name_on_mcp_fail(project: Project, name: str) -> None:
    project.declare(tool(), tool(name=name))
    assert rules(project.lint(), "names") == ["duplicate_name"]


def test_a_loaded_pack_that_says_other_than_its_file_fails(project: Project) -> None:
    other = "pack = Pack(PackManifest(id='acme-notes', version='0.2.0'))\n_unused = ("
    project.write("pack.py", PACK.replace("pack = Pack(", other))
    verdict = project.lint()
    found = [finding.where for finding in of(verdict, "manifest").findings]
    assert (rules(verdict, "manifest")[0], found) == ("manifest_drift", ["/version", "/tools/0"])


def test_a_file_may_leave_its_tools_to_the_code_and_they_are_checked(project: Project) -> None:
    project.declare()
    tools = "update={'tools': (ToolManifest(name='x', entry='acme_notes.tools:gone',"
    scope = "required_scopes=[PathScope(type='path', pattern='a', access='read')]),)}"
    text = PACK.replace("pack = Pack(", "from conductor_sdk.manifest_tools import *\npack = Pack(")
    text = text.replace('"manifest.yaml")))', f'"manifest.yaml")).model_copy({tools} {scope}))')
    project.write("pack.py", text)
    verdict = project.lint()
    assert (rules(verdict, "manifest"), rules(verdict, "entries"), rules(verdict, "security")) == (
        [], ["entry_missing"], ["schema_missing"],
    )  # fmt: skip


def test_tools_of_a_toolset_are_checked_too(project: Project) -> None:
    chosen = (
        "from conductor_sdk.manifest_tools import PathScope, ToolManifest\n"
        "def toolset(config):\n"
        "    scope = PathScope(type='path', pattern='**', access='write')\n"
        "    return [ToolManifest(name='x', entry='acme_notes.tools:gone', permission='write',\n"
        "        required_scopes=[scope], input_schema={'type': 'object'})]\n"
    )
    text = PACK.replace('"manifest.yaml")))', '"manifest.yaml")), toolset=toolset)')
    project.write("pack.py", text.replace("pack = Pack(", chosen + "\npack = Pack("))
    verdict = project.lint()
    assert (rules(verdict, "entries"), rules(verdict, "security")) == (
        ["entry_missing"], ["writes_everything"],
    )  # fmt: skip


def test_v12_the_overall_flag_says_whether_all_passed(project: Project) -> None:
    assert project.lint().passed is True
    assert project.lint(pin="sha256:" + "0" * 64).passed is False


def test_v13_the_report_has_a_line_for_each_check_and_the_hash(
    project: Project, conductor: Callable[..., tuple[int, str]]
) -> None:
    code, out = conductor("pack", "validate", str(project.path))
    lines = out.splitlines()
    assert (code, len([line for line in lines if line.startswith("pass ")])) == (0, 6)
    assert tree_hash(project.package) in lines
    assert lines[-1] == "valid"


def test_v14_a_report_of_a_failure_holds_the_error(
    project: Project, conductor: Callable[..., tuple[int, str]]
) -> None:
    project.declare(tool(required_scopes=[path_scope("**", "write")]))
    code, out = conductor("pack", "validate", str(project.path))
    assert (code, "FAIL security lint" in out, "writes_everything" in out, "fix: " in out) == (
        1, True, True, True,
    )  # fmt: skip
    assert out.splitlines()[-1] == "not valid"


def test_v15_the_command_is_there(conductor: Callable[..., tuple[int, str]]) -> None:
    code, out = conductor("pack", "validate", "--help")
    assert (code, "packs.pins" in out) == (0, True)


def test_v16_the_checks_can_be_called_from_python() -> None:
    places = {place.name: place for place in installed_places()}
    found = load_registry().pack("acme-demo")
    assert found is not None
    verdict = lint_pack(places["acme_demo"], found.pack)
    assert (verdict.passed, verdict.checks[0].name) == (True, "manifest")


def test_a_pin_is_compared_and_a_mismatch_alone_exits_4(
    project: Project, tmp_path: Path, conductor: Callable[..., tuple[int, str]]
) -> None:
    settings = tmp_path / "conductor.toml"
    settings.write_text(f'[packs.pins]\nacme-notes = "{tree_hash(project.package)}"\n')
    code, out = conductor("pack", "validate", str(project.path), "--json")
    [pack] = json.loads(out)["packs"]
    assert (code, pack["valid"], pack["pin"]) == (0, True, pack["integrity"])
    project.write("text.py", "TEXT = 'changed'\n")
    code, out = conductor("pack", "validate", str(project.path))
    assert (code, "pin_mismatch" in out) == (4, True)
    project.declare(tool(entry="acme_notes.tools:gone"))
    assert conductor("pack", "validate", str(project.path))[0] == 1


def test_a_pin_that_is_no_hash_is_refused(
    project: Project, tmp_path: Path, conductor: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "conductor.toml").write_text('[packs.pins]\nacme-notes = "latest"\n')
    assert conductor("pack", "validate", str(project.path))[0] == 78


def test_a_directory_with_a_pack_file_alone_is_checked(
    tmp_path: Path, conductor: Callable[..., tuple[int, str]]
) -> None:
    place = tmp_path / "plain"
    place.mkdir()
    (place / "pack.py").write_text(PACK)
    (place / "notes_of_plain.py").write_text("async def write(input, ctx):\n    return None\n")
    fields = {"id": "plain", "version": "0.1.0", "tools": [tool(entry="notes_of_plain:write")]}
    (place / "manifest.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(fields))))
    code, out = conductor("pack", "validate", str(place), "--json")
    sys.modules.pop("notes_of_plain", None)
    assert (code, json.loads(out)["packs"][0]["valid"]) == (0, True)


@pytest.mark.parametrize("name", ["acme-demo", "sidekick"])
def test_the_built_in_packs_pass(conductor: Callable[..., tuple[int, str]], name: str) -> None:
    code, out = conductor("pack", "validate", name, "--json")
    assert (code, [pack["valid"] for pack in json.loads(out)["packs"]]) == (0, [True])


def test_every_rule_is_documented_and_every_documented_rule_exists() -> None:
    page = (ROOT / "docs/reference/pack-checks.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\|[^|]*\| `([a-z_]+)` \|", page, re.MULTILINE))
    source = "".join(
        file.read_text(encoding="utf-8")
        for file in (ROOT / "handlers/conductor_handlers/pack_lint").glob("*.py")
    )
    literals = set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', source))
    assert documented <= literals
    used = set(re.findall(r'(?:Finding\(|yield \(?|return) *\n? *"([a-z]+_[a-z_]+)"', source))
    assert used <= documented
    assert len(used) > 15
