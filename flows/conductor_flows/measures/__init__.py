"""Where the numbers of flows go."""
