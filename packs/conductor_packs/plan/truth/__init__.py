"""What is true of a workspace now, with the age of every reading."""
