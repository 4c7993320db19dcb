"""Fails while it is imported, after it has printed something."""

print("hello from the import")  # noqa: T201  that is the point
raise RuntimeError("broken at import")
