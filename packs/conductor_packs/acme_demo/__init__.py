"""The demonstration pack: what the tutorial builds, and one queued kind more."""
