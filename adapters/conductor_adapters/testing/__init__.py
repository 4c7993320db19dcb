"""Public test tools: the contract suites of an adapter and a link that fails on demand."""
