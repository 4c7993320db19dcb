"""Where a flow runs: in this process, behind HTTP."""
