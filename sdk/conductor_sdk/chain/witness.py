"""What a witness remembers of a log, and the one rule by which it takes a new checkpoint.

Promise: after a checkpoint was taken, no smaller and no contradicting one is ever taken for that
origin. Refusal: no file and no lock; who keeps the answer makes comparing and keeping one step.
"""

from __future__ import annotations

from collections.abc import Sequence

from conductor_sdk.chain.checkpoint import Checkpoint
from conductor_sdk.chain.merkle import EMPTY_ROOT, PROOF_MAX, extends
from conductor_sdk.errors import ConductorError, Exit

HASHES_MAX = 63
"""Of a proof to a witness, by C2SP; less than a proof of ours may have in theory."""


class WitnessUnknown(ConductorError):
    """The witness has seen nothing of this log."""

    code = "WITNESS_UNKNOWN_ORIGIN"
    default_hint = "give it a first checkpoint: conductor log witness add CHECKPOINT"
    exit_code = Exit.NOT_FOUND


class WitnessSmaller(ConductorError):
    """The checkpoint is smaller than what the witness has seen: the log was cut."""

    code = "WITNESS_SMALLER"
    default_hint = "run: conductor log verify; the log has lost entries that a witness saw"
    exit_code = Exit.INTEGRITY


class WitnessStale(ConductorError):
    """The proof begins at another size than the witness has stored."""

    code = "WITNESS_STALE"
    default_hint = "prove from the stored size: conductor log witness show"
    exit_code = Exit.FAILURE


class WitnessInconsistent(ConductorError):
    """The checkpoint contradicts what the witness has seen: history was rewritten."""

    code = "WITNESS_INCONSISTENT"
    default_hint = "run: conductor log verify; keep both checkpoints, they are the evidence"
    exit_code = Exit.INTEGRITY


def accept(
    seen: Checkpoint | None, new: Checkpoint, old: int, proof: Sequence[bytes]
) -> Checkpoint:
    """Return what the witness has to remember from now on.

    Args:
        seen: What it remembers of the origin; None before the first.
        new: The checkpoint that is brought.
        old: The size from which the proof leads.
        proof: The consistency proof; empty where nothing was seen or nothing has grown.

    Raises:
        WitnessSmaller: `new` is smaller.
        WitnessStale: `old` is not the stored size; `data` holds that.
        WitnessInconsistent: The proof does not lead from what was seen to `new`.
    """
    size, root = (0, EMPTY_ROOT) if seen is None else (seen.size, seen.root)
    if new.size < size:
        raise WitnessSmaller(f"{new.size} after {size}", data={"stored_size": size})
    if new.size == size and new.root != root:
        raise WitnessInconsistent(f"another root at size {size}", data={"stored_size": size})
    if old != size:
        raise WitnessStale(f"{old}, stored is {size}", data={"stored_size": size})
    too_long = len(proof) > min(HASHES_MAX, PROOF_MAX)
    if too_long or not extends(size, root, new.size, new.root, proof):
        raise WitnessInconsistent(
            f"the proof does not lead from {size} to {new.size}", data={"stored_size": size}
        )
    return new
