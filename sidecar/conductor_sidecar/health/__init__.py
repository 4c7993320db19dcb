"""How the daemon is: what a probe is told, and why."""
