"""Checkpoints, leases, timers and signals: what a run leaves behind to be resumed."""
