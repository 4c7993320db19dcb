"""The embedded conductor for one machine: development, demo, tests, loopback."""
