"""What must survive: replay log, outbox, dead letters, journal, history, identity."""
