"""`conductor pack …` and `conductor packs`: make, check and list packs.

Promise: works without enrollment and without a daemon, on an installed pack or on a directory that
is not installed. Refusal: nothing is installed, and no pack is run outside of the test harness.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sdk.errors import Exit
from conductor_sidecar.cli.options import config_option, json_option, workspace_option

if TYPE_CHECKING:
    from conductor_handlers.registry import LoadedPack, RefusedPack, Registry
    from conductor_sidecar.settings import Settings


@click.group()
def pack() -> None:
    """Make, validate and test packs."""


@pack.command("new")
@click.argument("name")
@click.option(
    "--directory", "-d", type=click.Path(path_type=Path), metavar="DIR",
    help="Where to; default: ./NAME.",
)  # fmt: skip
def new(name: str, directory: Path | None) -> None:
    """Make a working pack project called NAME."""
    from conductor_sidecar.cli.scaffold import scaffold

    place = directory or Path(name)
    for file in scaffold(name, place):
        click.echo(f"wrote {place / file}")
    click.echo(f"next: conductor pack validate {place}")


@pack.command("validate")
@click.argument("id_or_dir")
@workspace_option
@config_option
@json_option
@click.pass_context
def validate(
    ctx: click.Context, id_or_dir: str, workspace: Path, config_file: Path | None, *, as_json: bool
) -> None:
    """Check whether a pack would be loaded, and its files; lists every reason against it.

    ID_OR_DIR is a project directory, installed or not, or the id of an installed pack. The hash of
    its files is compared with packs.pins of the workspace. Exits 1 if it would be refused or a
    check fails, 4 if only the hash is not the pinned one.
    """
    from conductor_sidecar.cli.pack_checks import exit_code, validated
    from conductor_sidecar.cli.pack_report import checks_json, show_checks

    settings = _settings(workspace, config_file)
    packs = validated(*_find(id_or_dir, settings), settings, directory=_directory(id_or_dir))
    if as_json:
        _print_json({"packs": [checks_json(each) for each in packs]})
    else:
        for each in packs:
            show_checks(each)
    ctx.exit(int(exit_code(packs)))


@pack.command("test")
@click.argument("id_or_dir")
@json_option
@click.pass_context
def test(ctx: click.Context, id_or_dir: str, *, as_json: bool) -> None:
    """Run the conformance suite: emit, replay, crash between effect and key, unknown kind.

    ID_OR_DIR as for `validate`. Exits 5 if a check fails, 1 if the pack would not be loaded.
    """
    from conductor_sdk.testing.conformance import run_conformance
    from conductor_sidecar.cli.pack_report import (
        conformance_json,
        read_samples,
        show_conformance,
        show_validation,
        validation_json,
    )
    from conductor_sidecar.settings import Settings

    loaded, refused = _find(id_or_dir, Settings())
    samples = read_samples(Path(id_or_dir) / "conformance.json")
    reports = [run_conformance(found.pack, samples=samples) for found in loaded]
    if as_json:
        tested = [conformance_json(report) for report in reports]
        _print_json({"packs": [*tested, *validation_json([], refused)]})
    else:
        for report in reports:
            show_conformance(report)
        show_validation([], refused)
    failed = Exit.OK if all(report.passed for report in reports) else Exit.EXPECTATION
    ctx.exit(int(Exit.FAILURE if refused else failed))


@click.command()
@workspace_option
@config_option
@json_option
def packs(workspace: Path, config_file: Path | None, *, as_json: bool) -> None:
    """Show which packs are loaded here, and why others are not."""
    from conductor_sidecar.cli.pack_report import registry_json, show_registry

    registry = _as_it_runs(_configured(workspace, config_file), workspace)
    if as_json:
        _print_json(registry_json(registry))
    else:
        show_registry(registry)


def _configured(workspace: Path, config_file: Path | None) -> Registry:
    from conductor_sidecar.pack_selection import selected_packs

    return selected_packs(_settings(workspace, config_file))


def _settings(workspace: Path, config_file: Path | None) -> Settings:
    from conductor_sidecar.config import load_configuration

    return load_configuration(workspace, file=config_file, environ=os.environ).settings


def _directory(id_or_dir: str) -> Path | None:
    path = Path(id_or_dir)
    return path if path.is_dir() else None


def _as_it_runs(registry: Registry, workspace: Path) -> Registry:
    """Add what only the running daemon can know: the packs whose own context failed."""
    from conductor_sdk.errors import ConductorError
    from conductor_sdk.pack_errors import PackContextFailed
    from conductor_sidecar.cli.reach import Reach

    try:
        running = Reach(workspace).request("GET", "/v1/status")["packs"]
    except ConductorError:
        return registry
    prefix = f"{PackContextFailed().message}: "
    return registry.without({
        pack["slug"]: PackContextFailed(problem["message"].removeprefix(prefix), value=pack["slug"])
        for pack in running
        for problem in pack["problems"]
        if problem["code"] == PackContextFailed.code
    })  # fmt: skip


def _find(id_or_dir: str, settings: Settings) -> tuple[list[LoadedPack], list[RefusedPack]]:
    """Return what stands in the directory, or the installed pack of that id.

    Raises:
        PackNotFound: There is neither.
    """
    from conductor_sdk.pack_errors import PackNotFound
    from conductor_sidecar.pack_selection import packs_of

    path = Path(id_or_dir)
    if path.is_dir():
        registry = packs_of(path, settings)
        for refused in registry.refused:
            for problem in refused.problems:
                if isinstance(problem, PackNotFound):
                    raise problem
        return list(registry.packs), list(registry.refused)
    registry = packs_of(None, settings)
    wanted = id_or_dir.replace("_", "-")
    loaded = [found for found in registry.packs if found.slug == wanted]
    against = [found for found in registry.refused if found.name.replace("_", "-") == wanted]
    if not loaded and not against:
        raise PackNotFound(
            f"{id_or_dir!r} is neither a directory nor an installed pack", value=id_or_dir
        )
    return loaded, against


def _print_json(value: dict[str, Any]) -> None:
    from conductor_terminal.printing import print_json

    print_json(value)
