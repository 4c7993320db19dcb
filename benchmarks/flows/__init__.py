"""Flows, measured: `python -m benchmarks.flows` writes `benchmarks/FLOWS.md`."""
