"""Flows behind HTTP."""
