"""A world of one seed: the real sidecar and the real conductor on a virtual clock, net and disk."""
