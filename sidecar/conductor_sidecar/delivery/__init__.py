"""Both ways of the link: what comes down, what goes up, and what keeps the link open."""
