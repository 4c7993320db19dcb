"""The tables of the registry of codes, one for each subject."""
