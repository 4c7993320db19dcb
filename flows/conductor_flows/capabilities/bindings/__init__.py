"""Which provider stands behind which capability."""
