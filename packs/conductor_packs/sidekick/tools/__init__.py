"""The tools themselves, one module for each group."""
