"""The daemon: CLI, composition root, runtime, downlink, uplink, control surface."""

__version__ = "0.1.0"
