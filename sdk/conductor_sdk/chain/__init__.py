"""The hash-chained journal as mathematics: canonical JSON, entries, links and the verify walk."""
