"""Public contract suites: what every implementation of a store must pass."""
