"""Sidekick: tasks, memory, channels and routines of one workspace, as governed tools."""
