"""Files of a backup put in place, and what a crash has left of that finished."""
