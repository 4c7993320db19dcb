"""A pack that can only live beside one that has channels."""

from __future__ import annotations

from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack

needy = Pack(PackManifest(id="needy", version="1.0.0", surfaces_required=("sidekick-channel",)))
