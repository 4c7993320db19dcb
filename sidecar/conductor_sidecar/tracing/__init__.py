"""Spans of the daemon's work, exported by OTLP where that is configured."""
