"""What a flow may not be: every rule with its code, its place and its remedy."""
