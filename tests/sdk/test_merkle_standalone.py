"""The verifier in one file: agrees with the program, and refuses what the program refuses."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conductor_sdk.chain import standalone
from conductor_sdk.chain.checkpoint import Checkpoint, origin_of
from conductor_sdk.chain.entry import Draft, Entry, Head, encode_entry, extend, genesis, prepare
from conductor_sdk.chain.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    extends,
    inclusion_proof,
    leaf_hash,
    root_of,
)
from conductor_sdk.chain.proof import Consistency, Inclusion
from conductor_sdk.chain.signing import KeyText, SharedSecret, sign

LOG = "log-test"
SECRET = b"k" * 32
SIZE = 13


def entries(size: int = SIZE, log_id: str = LOG) -> list[Entry]:
    drafts = [prepare(Draft("NOTED", "töster", {"at": at}, "s", "t")) for at in range(size)]
    return extend(log_id, Head(0, genesis(log_id)), drafts, "2026-01-01T00:00:00.000Z")


LOG_ENTRIES = entries()
LEAVES = [leaf_hash(encode_entry(entry)) for entry in LOG_ENTRIES]


def head(size: int) -> Checkpoint:
    return Checkpoint(origin_of(LOG), size, root_of(LEAVES[:size]))


def a_proof(index: int = 5, size: int = SIZE) -> Inclusion:
    hashes = tuple(inclusion_proof(index, LEAVES[:size]))
    note = sign(head(size), [SharedSecret(SECRET)])
    return Inclusion(encode_entry(LOG_ENTRIES[index]), index, hashes, note)


def an_export(log: list[Entry]) -> str:
    return "".join(json.dumps(msgspec.structs.asdict(entry)) + "\n" for entry in log)


@pytest.fixture
def put(tmp_path: Path) -> Any:
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def test_it_runs_alone_in_an_isolated_interpreter(put: Any) -> None:
    program = put("verify.py", Path(standalone.__file__).read_text("utf-8"))
    proof, key = put("p", a_proof().text), put("k", str(KeyText("hmac-sha256", SECRET)))

    done = subprocess.run(
        [sys.executable, "-I", "-S", program, proof, "--key", key], capture_output=True, check=True
    )

    assert b"inclusion     OK: entry 6 of conductor.journal/log-test, size 13" in done.stdout
    assert b"signature     OK" in done.stdout


def test_every_proof_of_every_small_tree_is_accepted(put: Any) -> None:
    for size in range(1, SIZE + 1):
        for index in range(size):
            assert standalone.main([put("p", a_proof(index, size).text)]) == 0


def test_growth_is_judged_as_the_program_judges_it() -> None:
    rng = random.Random(3)
    roots = [root_of(LEAVES[:size]) for size in range(SIZE + 1)]
    for new in range(SIZE + 1):
        note = standalone.Note(sign(head(new), []).text)
        for old in range(new + 1):
            for _ in range(8):
                proof = consistency_proof(old, LEAVES[:new])
                if proof and rng.random() < 0.5:
                    proof[rng.randrange(len(proof))] = rng.choice(LEAVES)
                if rng.random() < 0.2:
                    proof = proof[1:]
                root = rng.choice([roots[old], roots[old], EMPTY_ROOT])
                try:
                    standalone.check_growth(old, root, note, list(proof))
                    accepted = True
                except standalone.Wrong:
                    accepted = False
                assert accepted == extends(old, root, new, roots[new], proof)


def test_no_random_change_of_a_proof_passes(put: Any) -> None:
    rng = random.Random(4)
    text = a_proof().text
    kept = put("kept", sign(head(SIZE), []).text)
    key = put("key", str(KeyText("hmac-sha256", SECRET)))
    codes: set[int] = set()
    for _ in range(1500):
        at = rng.randrange(len(text))
        changed = text[:at] + rng.choice("AZaz09+/=\n \u2014") + text[at + rng.randrange(2) :]
        if changed != text:
            codes.add(standalone.main([put("p", changed), "--checkpoint", kept, "--key", key]))

    assert codes == {2, 4}


def test_a_proof_that_leads_elsewhere_than_the_kept_checkpoint_is_wrong(put: Any) -> None:
    kept = put("kept", sign(head(12), []).text)

    assert standalone.main([put("p", a_proof().text), "--checkpoint", kept]) == 4


def test_an_entry_of_another_place_or_log_is_wrong(put: Any) -> None:
    other = entries(log_id="log-else")[0]
    leaves = [leaf_hash(encode_entry(other)), *LEAVES[1:]]
    note = sign(Checkpoint(origin_of(LOG), SIZE, root_of(leaves)), [])
    foreign = Inclusion(encode_entry(other), 0, tuple(inclusion_proof(0, leaves)), note)

    assert standalone.main([put("p", foreign.text)]) == 4


def test_consistency_starts_at_the_checkpoint_that_was_kept(put: Any) -> None:
    growth = Consistency(5, tuple(consistency_proof(5, LEAVES)), sign(head(SIZE), []))
    kept, older = put("kept", sign(head(5), []).text), put("older", sign(head(4), []).text)
    proof = put("c", growth.text)

    assert standalone.main([proof, "--consistency", "--checkpoint", kept]) == 0
    assert standalone.main([proof, "--consistency", "--checkpoint", older]) == 4
    assert standalone.main([proof, "--consistency"]) == 2


def test_an_export_is_walked_and_compared_with_the_kept_checkpoint(
    put: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    export = put("e", an_export(LOG_ENTRIES))
    for size in range(SIZE + 1):
        kept = put("kept", sign(head(size), []).text)
        assert standalone.main([export, "--export", "--checkpoint", kept]) == 0
    assert standalone.main([export, "--export"]) == 0

    said = capsys.readouterr().out
    assert f"chain         OK: 13 entries, head {LOG_ENTRIES[-1].hash}" in said
    assert "UNANCHORED" in said


@pytest.mark.parametrize("at", [0, 5, 12])
@pytest.mark.parametrize("field", Entry.__struct_fields__)
def test_any_changed_field_of_an_export_is_found(put: Any, at: int, field: str) -> None:
    log = list(LOG_ENTRIES)
    value = getattr(log[at], field)
    changed = value + 1 if isinstance(value, int) else value + "x"
    log[at] = msgspec.structs.replace(log[at], **{field: changed})

    assert standalone.main([put("e", an_export(log)), "--export"]) == 4


def test_a_cut_or_rewritten_export_is_found_by_the_checkpoint(put: Any) -> None:
    kept = put("kept", sign(head(SIZE), []).text)
    cut, holed = LOG_ENTRIES[:-1], [*LOG_ENTRIES[:4], *LOG_ENTRIES[5:]]
    forged = entries(SIZE + 3, "log-else")

    assert standalone.main([put("e", an_export(cut)), "--export"]) == 0
    for log in (cut, forged):
        assert standalone.main([put("e", an_export(log)), "--export", "--checkpoint", kept]) == 4
    assert standalone.main([put("e", an_export(holed)), "--export"]) == 4


@pytest.mark.parametrize("line", ["", "{", "[]", '{"sequence": 1}', "null", "\udcff"])
def test_an_export_that_is_none_cannot_be_read(put: Any, line: str) -> None:
    path = put("e", "")
    Path(path).write_bytes(line.encode("utf-8", "surrogateescape") + b"\n")

    assert standalone.main([path, "--export"]) == 2


def test_another_secret_is_wrong_and_another_kind_is_said_to_be(put: Any) -> None:
    proof = put("p", a_proof().text)
    other = put("k", str(KeyText("hmac-sha256", b"x" * 32)))
    pair = put("q", str(KeyText("ed25519-public", b"x" * 32)))

    assert standalone.main([proof, "--key", other]) == 4
    assert standalone.main([proof, "--key", pair]) == 2


def test_data_cannot_drive_the_terminal(put: Any, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = msgspec.structs.replace(LOG_ENTRIES[0], actor="\x1b[2J\u202e")
    leaf = leaf_hash(encode_entry(hostile))
    note = sign(Checkpoint(origin_of(LOG), 1, leaf), [])

    assert standalone.main([put("p", Inclusion(encode_entry(hostile), 0, (), note).text)]) == 0
    out = capsys.readouterr().out
    assert not [char for char in out if not char.isprintable() and char != "\n"]


def test_trailing_bytes_in_an_entry_are_refused(put: Any) -> None:
    data = encode_entry(LOG_ENTRIES[0]) + b"x"
    note = sign(Checkpoint(origin_of(LOG), 1, leaf_hash(data)), [])
    text = Inclusion(data, 0, (), note).text

    assert base64.b64encode(data).decode() in text
    assert standalone.main([put("p", text)]) == 2
