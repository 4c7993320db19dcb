"""The peers that the sidecar is compared with, each a process of its own."""
