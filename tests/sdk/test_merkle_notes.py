"""Checkpoints, signatures, proof files and the witness: nothing malformed or forged is taken."""

from __future__ import annotations

import base64
import random
import sys

import pytest

from conductor_sdk.chain.checkpoint import (
    Checkpoint,
    CheckpointMalformed,
    Note,
    origin_of,
    parse_note,
)
from conductor_sdk.chain.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
)
from conductor_sdk.chain.proof import (
    Consistency,
    Inclusion,
    ProofInvalid,
    ProofMalformed,
    check_consistency,
    check_inclusion,
    parse_consistency,
    parse_inclusion,
)
from conductor_sdk.chain.signing import (
    Ed25519Key,
    Ed25519Unavailable,
    Key,
    KeyMalformed,
    SharedSecret,
    SignatureMissing,
    check,
    key_id,
    parse_key,
    sign,
)
from conductor_sdk.chain.witness import (
    WitnessInconsistent,
    WitnessSmaller,
    WitnessStale,
    accept,
)

ORIGIN = "conductor.journal/log-test"
ENTRIES = [f"entry {number}".encode() for number in range(20)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
SEED = bytes(range(32))


def head(size: int, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, root_of(LEAVES[:size]))


def a_key(kind: str) -> Key:
    return SharedSecret(SEED) if kind == "hmac" else Ed25519Key.from_seed(SEED)


# --- notes ------------------------------------------------------------------------------------


def test_a_checkpoint_is_three_lines_and_a_blank_one() -> None:
    text = sign(head(3), []).text
    root = base64.b64encode(root_of(LEAVES[:3])).decode()

    assert text == f"conductor.journal/log-test\n3\n{root}\n\n"
    assert parse_note(text) == Note(head(3), ())


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
def test_a_signed_checkpoint_comes_back_as_it_was(kind: str) -> None:
    note = sign(head(3), [a_key(kind)])

    assert parse_note(note.text) == note
    assert note.text.splitlines()[4].startswith("\u2014 conductor.journal/log-test")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[:-1], lambda t: t + "x", lambda t: t.replace("\n3\n", "\n03\n"),
        lambda t: t.replace("\n3\n", "\n-3\n"), lambda t: t.replace("\n3\n", "\n3 \n"),
        lambda t: t.replace("\n3\n", "\n\u0663\n"), lambda t: t.replace("\n3\n", "\n3\n3\n"),
        lambda t: t.replace("=\n\n", "\n\n"), lambda t: t.replace("log-test\n", "log test\n"),
        lambda t: t.replace("log-test\n", "log+test\n"), lambda t: t.replace("\u2014", "-"),
        lambda t: t.replace("\u2014 conductor", "\u2014  conductor"), lambda t: "", lambda t: t * 2,
        lambda t: t.replace("\n", "\r\n"), lambda t: "x" * 70_000 + t,
    ],
)  # fmt: skip
def test_any_other_text_is_refused(change: object) -> None:
    assert callable(change)
    text = sign(head(3), [SharedSecret(SEED)]).text

    with pytest.raises(CheckpointMalformed):
        parse_note(change(text))


@pytest.mark.parametrize("log_id", ["", "a b", "a+b", "a\nb", "\udcff", "x" * 300])
def test_a_log_whose_id_cannot_stand_in_a_note_gets_no_origin(log_id: str) -> None:
    with pytest.raises(CheckpointMalformed):
        origin_of(log_id)


# --- signatures -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
def test_a_signature_holds_for_its_text_and_its_key_alone(kind: str) -> None:
    key = a_key(kind)
    note = sign(head(3), [key])
    check(note, key)

    for other in (
        Note(head(4), note.signatures),
        Note(head(3, ORIGIN + "x"), note.signatures),
        Note(head(3), ()),
    ):
        with pytest.raises(SignatureMissing):
            check(other, key)
    for stranger in (SharedSecret(b"x" * 32), Ed25519Key.from_seed(b"x" * 32)):
        with pytest.raises(SignatureMissing):
            check(note, stranger)


def test_a_shared_secret_says_that_it_is_one() -> None:
    assert sign(head(3), [SharedSecret(SEED)]).signatures[0].name == ORIGIN + "/shared-secret"


def test_the_ed25519_key_id_is_that_of_signed_notes() -> None:
    # Published with the format: PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")

    assert key_id("PeterNeumann", public[:1], public[1:]).hex() == "c74f20a3"


def test_a_published_signed_note_is_accepted() -> None:
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    key = Ed25519Key(public)
    message = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    signature = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    note = type(sign(head(1), [SharedSecret(SEED)]).signatures[0])(
        "PeterNeumann", signature[:4], signature[4:]
    )

    assert key.accepts("PeterNeumann", message.encode(), note)
    assert not key.accepts("PeterNeumann", message.encode() + b"\n", note)


def test_without_cryptography_ed25519_is_refused_with_a_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signed = sign(head(3), [Ed25519Key.from_seed(SEED)])
    public = Ed25519Key.from_seed(SEED).public
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)

    with pytest.raises(Ed25519Unavailable):
        Ed25519Key.from_seed(SEED)
    with pytest.raises(Ed25519Unavailable):
        check(signed, Ed25519Key(public))
    check(sign(head(3), [SharedSecret(SEED)]), SharedSecret(SEED))


def test_a_public_key_does_not_sign() -> None:
    with pytest.raises(KeyMalformed, match="public"):
        sign(head(1), [Ed25519Key(SEED)])


@pytest.mark.parametrize("kind", ["hmac-sha256", "ed25519", "ed25519-public"])
def test_a_key_file_comes_back_as_it_was(kind: str) -> None:
    text = f"conductor-key-v1 {kind} {base64.b64encode(SEED).decode()}\n"

    assert str(parse_key(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "x", "conductor-key-v1 hmac-sha256", "conductor-key-v1 rsa AAAA",
     "conductor-key-v1 hmac-sha256 AAAA", "conductor-key-v1 hmac-sha256 ****",
     "conductor-key-v2 hmac-sha256 " + base64.b64encode(SEED).decode()],
)  # fmt: skip
def test_what_is_not_a_key_is_refused(text: str) -> None:
    with pytest.raises(KeyMalformed):
        parse_key(text)


# --- proof files ------------------------------------------------------------------------------


def an_inclusion(index: int = 6, size: int = 13) -> Inclusion:
    hashes = tuple(inclusion_proof(index, LEAVES[:size]))
    return Inclusion(ENTRIES[index], index, hashes, sign(head(size), []))


def a_consistency(old: int = 6, new: int = 13) -> Consistency:
    return Consistency(
        old, tuple(consistency_proof(old, LEAVES[:new])), sign(head(new), [SharedSecret(SEED)])
    )


def test_proof_files_come_back_as_they_were_and_hold() -> None:
    for size in (1, 2, 13):
        for index in range(size):
            proof = an_inclusion(index, size)
            assert parse_inclusion(proof.text) == proof
            check_inclusion(proof)
            growth = a_consistency(index, size)
            assert parse_consistency(growth.text) == growth
            check_consistency(growth, root_of(LEAVES[:index]))


def test_the_proof_file_is_in_the_published_format() -> None:
    lines = an_inclusion(0, 2).text.split("\n")

    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(ENTRIES[0]).decode()
    assert lines[2:5] == ["index 0", base64.b64encode(LEAVES[1]).decode(), ""]
    assert lines[5] == ORIGIN


def test_no_random_change_of_a_proof_file_is_taken_for_a_proof() -> None:
    rng = random.Random(2)
    text = an_inclusion().text
    for _ in range(3000):
        at = rng.randrange(len(text))
        changed = text[:at] + rng.choice("AZaz09+/=\n \u2014") + text[at + rng.randrange(2) :]
        if changed == text or changed.partition("\n\n")[2].split("\n")[0] != ORIGIN:
            continue  # without a pinned origin a proof names whatever log it likes
        with pytest.raises((ProofMalformed, ProofInvalid, CheckpointMalformed)):
            check_inclusion(parse_inclusion(changed))


@pytest.mark.parametrize("text", ["", "\n\n", "old 3", "old x\n\n", "c2sp.org/tlog-proof@v1\n\n"])
def test_what_is_no_proof_is_refused(text: str) -> None:
    for parse in (parse_inclusion, parse_consistency):
        with pytest.raises((ProofMalformed, CheckpointMalformed)):
            parse(text)


def test_a_proof_with_too_many_hashes_is_refused_before_it_is_computed() -> None:
    proof = Inclusion(ENTRIES[0], 0, (LEAVES[0],) * 65, sign(head(1), []))

    with pytest.raises(ProofMalformed, match="more than 64"):
        parse_inclusion(proof.text)


# --- the witness ------------------------------------------------------------------------------


def test_a_witness_takes_a_log_that_only_grows() -> None:
    seen: Checkpoint | None = None
    old = 0
    for size in (1, 2, 2, 7, 8, 20):
        proof = consistency_proof(old, LEAVES[:size])
        seen = accept(seen, head(size), old, proof)
        old = size

    assert seen == head(20)


def test_a_smaller_log_is_refused_whatever_the_proof() -> None:
    with pytest.raises(WitnessSmaller) as caught:
        accept(head(7), head(6), 7, [])

    assert caught.value.data == {"stored_size": 7}


def test_another_history_is_refused() -> None:
    forged = [leaf_hash(b"forged"), *LEAVES[1:]]
    for size in (7, 8, 20):
        new = Checkpoint(ORIGIN, size, root_of(forged[:size]))
        for leaves in (forged, LEAVES):
            with pytest.raises(WitnessInconsistent):
                accept(head(7), new, 7, consistency_proof(7, leaves[:size]))


def test_a_proof_from_another_size_is_told_the_stored_one() -> None:
    with pytest.raises(WitnessStale) as caught:
        accept(head(7), head(9), 6, consistency_proof(6, LEAVES[:9]))

    assert caught.value.data == {"stored_size": 7}


def test_the_first_checkpoint_needs_no_proof_and_the_empty_log_has_one_root() -> None:
    assert accept(None, head(9), 0, []) == head(9)
    assert accept(None, head(0), 0, []).root == EMPTY_ROOT
    with pytest.raises(WitnessInconsistent):
        accept(None, Checkpoint(ORIGIN, 0, LEAVES[0]), 0, [])
