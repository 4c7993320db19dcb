"""Flows in the sidecar: started by events and tools, told upstream, taken up after a crash."""
