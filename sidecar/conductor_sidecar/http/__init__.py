"""The HTTP surface on the control socket."""
