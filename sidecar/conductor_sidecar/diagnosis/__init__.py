"""What `conductor diagnose` collects."""
