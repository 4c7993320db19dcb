"""The demo pack as the registry finds it.

Promise: `pack` is data. Refusal: importing this module starts nothing.
"""

from __future__ import annotations

from pathlib import Path

from conductor_packs.acme_demo.emit import run_periodically
from conductor_packs.acme_demo.handlers import AcmeContext, on_recovery_requested
from conductor_sdk import Pack, PackManifest

pack = Pack(
    manifest=PackManifest.from_yaml(Path(__file__).with_name("manifest.yaml")),
    handlers={"conductor:recovery_requested": on_recovery_requested},
    context=AcmeContext,
    background=run_periodically,
    samples={
        "conductor:recovery_requested": [{"wu_id": "acme-job-1"}, {"wu_id": "another-packs-job"}]
    },
)
