"""Work orders: taken in, normalised, routed, and handed out to whoever works for a target."""
