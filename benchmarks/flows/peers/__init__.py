"""The same chain in other libraries; each module runs in a Python of its own."""
