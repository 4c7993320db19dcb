"""Where Sidekick keeps its records: a port, and adapters for memory, files and SQLite."""
