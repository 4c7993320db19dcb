"""Running a flow: what fires when, and the tasks that do it."""
