"""Backups of a workspace's state, and their return."""
