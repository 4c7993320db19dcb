"""Flows written as typed Python functions."""
