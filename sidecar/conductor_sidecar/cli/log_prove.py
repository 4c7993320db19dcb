"""`conductor log checkpoint`, `prove`, `prove-consistency`, `witness`, `verifier` and `key`.

Promise: what is printed can be checked by whoever has neither the journal nor this program.
Refusal: nothing is signed or proved over a log with a fault, and no two signed checkpoints
contradict each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sdk.chain.checkpoint import Checkpoint, Note
    from conductor_sdk.chain.merkle import Range

_FILE = click.Path(dir_okay=False, path_type=Path)
_key_option = click.option(
    "--key", "keys", type=_FILE, multiple=True, metavar="FILE",
    help="Sign with this key; may be repeated. Without one the checkpoint is unsigned.",
)  # fmt: skip
_witness_file = click.option(
    "--file",
    "kept",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="What the witness remembers; best on another machine.",
)


@click.command()
@workspace_option
@json_option
@_key_option
def checkpoint(workspace: Path, keys: tuple[Path, ...], *, as_json: bool) -> None:
    """Print a checkpoint of the log: its size and Merkle root as a C2SP note."""
    import asyncio

    from conductor_sidecar.cli import log_stores

    opened = [log_stores.read_key(path) for path in keys]
    _, note = asyncio.run(log_stores.certified(workspace, opened))
    if as_json:
        _print_json(note.checkpoint, note.text, signed=bool(note.signatures))
    else:
        _print_text(note.text, note)


@click.command()
@workspace_option
@json_option
@_key_option
@click.argument("sequence", type=click.IntRange(min=1), metavar="SEQ")
@click.option("--size", type=click.IntRange(min=1), metavar="N",
              help="Prove it in the log's first N entries; default: all of it.")  # fmt: skip
def prove(
    workspace: Path, keys: tuple[Path, ...], sequence: int, size: int | None, *, as_json: bool
) -> None:
    """Print a proof (.tlog-proof) that entry SEQ is in the log.

    It holds the entry, the path and a checkpoint; verify it anywhere: conductor log verifier.
    """
    import asyncio

    from conductor_sdk.chain.merkle import inclusion_ranges
    from conductor_sdk.chain.proof import Inclusion
    from conductor_sidecar.cli import log_stores

    def ranges(total: int) -> list[Range]:
        if sequence > total:
            raise log_stores.SequenceMissing(f"{sequence}; the last is {total}")
        return inclusion_ranges(sequence - 1, total)

    opened = [log_stores.read_key(path) for path in keys]
    folded, note = asyncio.run(
        log_stores.certified(workspace, opened, size=size, ranges=ranges, index=sequence - 1)
    )
    proof = Inclusion(folded.entry, sequence - 1, tuple(folded.hashes), note)
    if as_json:
        head = proof.note.checkpoint
        _print_json(head, proof.text, signed=bool(proof.note.signatures), sequence=sequence)
    else:
        _print_text(proof.text, proof.note)


@click.command("prove-consistency")
@workspace_option
@json_option
@_key_option
@click.argument("old", type=click.IntRange(min=0))
@click.argument("new", type=click.IntRange(min=0))
def prove_consistency(
    workspace: Path, keys: tuple[Path, ...], old: int, new: int, *, as_json: bool
) -> None:
    """Print a proof that the log's first NEW entries begin with its first OLD ones."""
    import asyncio

    from conductor_sdk.chain.merkle import consistency_ranges
    from conductor_sdk.chain.proof import Consistency
    from conductor_sidecar.cli import log_stores

    if old > new:
        raise click.BadParameter(f"OLD {old} is beyond NEW {new}")
    opened = [log_stores.read_key(path) for path in keys]
    folded, note = asyncio.run(
        log_stores.certified(
            workspace, opened, size=new, ranges=lambda total: consistency_ranges(old, total)
        )
    )
    proof = Consistency(old, tuple(folded.hashes), note)
    if as_json:
        head = proof.note.checkpoint
        _print_json(head, proof.text, signed=bool(proof.note.signatures), old=old)
    else:
        _print_text(proof.text, proof.note)


@click.command()
def verifier() -> None:
    """Print a verifier in one file that needs Python alone: > verify.py."""
    from conductor_sdk.chain import standalone

    click.echo(Path(standalone.__file__).read_text(encoding="utf-8"), nl=False)


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--kind",
    type=click.Choice(["hmac-sha256", "ed25519"]),
    default="hmac-sha256",
    show_default=True,
    help="A secret shared with the verifier, or a key pair.",
)
def key(file: Path, kind: str) -> None:
    """Make a signing key in FILE, which must not exist yet.

    For a key pair the public half is printed, in the shape of a key file.
    """
    import os
    import secrets

    from conductor_sdk.chain.signing import Ed25519Key, KeyText, parse_key
    from conductor_sidecar.cli.log_stores import KeyExists, LogFileUnreadable

    text = parse_key(f"conductor-key-v1 {kind} {_random(secrets.token_bytes(32))}")
    made = text.key()
    try:
        opened = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise KeyExists(str(file)) from None
    except OSError as error:
        raise LogFileUnreadable(f"{file}: {error.strerror}") from None
    with os.fdopen(opened, "w", encoding="utf-8") as output:
        output.write(str(text))
        output.flush()
        os.fsync(output.fileno())
    if isinstance(made, Ed25519Key):
        click.echo(str(KeyText("ed25519-public", made.public)), nl=False)


@click.group()
def witness() -> None:
    """Remember the last checkpoint of a log, and refuse any that contradicts it."""


@witness.command()
@json_option
@_witness_file
@click.option("--key", "key_file", type=_FILE, metavar="FILE",
              help="Take only what this key has signed.")  # fmt: skip
@click.argument("proof", type=_FILE)
def add(kept: Path, key_file: Path | None, proof: Path, *, as_json: bool) -> None:
    """Take a new checkpoint: PROOF is a consistency proof, or a first checkpoint.

    Exits 4 when it is smaller than, or contradicts, what was taken before.
    """
    from conductor_sdk.chain.signing import check
    from conductor_sdk.chain.witness import accept
    from conductor_sidecar.cli import log_stores
    from conductor_state.journal_heads import holding_heads

    growth = log_stores.read_growth(log_stores.read_text(proof))
    if key_file is not None:
        check(growth.note, log_stores.read_key(key_file))
    new = growth.note.checkpoint
    with holding_heads(kept) as heads:
        seen = heads.get(new.origin)
        heads.put(accept(seen, new, _start(seen, growth.old, new), growth.hashes))
    if as_json:
        _print_json(new, new.body, signed=key_file is not None)
    else:
        click.echo(f"taken: size {new.size} of {new.origin}")


@witness.command("show")
@json_option
@_witness_file
def witness_show(kept: Path, *, as_json: bool) -> None:
    """Show what the witness remembers of each log."""
    from conductor_sdk.chain.checkpoint import encode
    from conductor_sidecar.cli.log_print import print_field
    from conductor_state.journal_heads import read_heads
    from conductor_terminal.printing import print_json

    heads = read_heads(kept)
    if as_json:
        print_json({"heads": [
            {"origin": head.origin, "size": head.size, "root": encode(head.root)} for head in heads
        ]})  # fmt: skip
        return
    for head in heads:
        print_field("origin", head.origin)
        print_field("size", head.size)
        print_field("root", encode(head.root))
    if not heads:
        click.echo("nothing seen yet")


def _start(seen: Checkpoint | None, old: int, new: Checkpoint) -> int:
    """Let the checkpoint that is already kept be brought again without a proof."""
    return seen.size if seen is not None and old == 0 and seen == new else old


def _random(data: bytes) -> str:
    from conductor_sdk.chain.checkpoint import encode

    return encode(data)


def _print_text(text: str, note: Note) -> None:
    click.echo(text, nl=False)
    if not note.signatures:
        click.echo("unsigned: nothing vouches for this checkpoint; sign it: --key FILE", err=True)


def _print_json(head: Checkpoint, text: str, *, signed: bool, **more: object) -> None:
    from conductor_sdk.chain.checkpoint import encode
    from conductor_terminal.printing import print_json

    facts = {"origin": head.origin, "size": head.size, "root": encode(head.root)}
    print_json({**facts, **more, "signed": signed, "text": text})
