"""The commands of `conductor plan`."""
