"""What `conductor doctor` looks at."""
