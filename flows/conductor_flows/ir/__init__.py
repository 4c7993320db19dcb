"""The Flow IR document: its types, its two dialects, its identity, its pictures."""
