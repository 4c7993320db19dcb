"""What each tool takes: one model for each tool, from which its input schema is drawn."""
