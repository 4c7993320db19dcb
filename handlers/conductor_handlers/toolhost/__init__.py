"""The tool host: the only way to a pack's tools."""
