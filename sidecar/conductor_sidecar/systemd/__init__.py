"""The daemon as a service: readiness, watchdog, inherited sockets, health, and its units."""
