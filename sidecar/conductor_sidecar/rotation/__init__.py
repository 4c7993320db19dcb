"""A new credential in the place of the old one, in two phases."""
