"""The HTTP surface: on the control socket, and over TCP where that is configured."""
