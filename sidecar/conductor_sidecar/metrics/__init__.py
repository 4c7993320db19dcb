"""What the daemon counts and measures, and how Prometheus reads it."""
