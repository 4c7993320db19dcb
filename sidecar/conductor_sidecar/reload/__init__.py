"""Taking over a new configuration and other packs without a restart."""
