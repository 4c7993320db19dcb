"""In-memory twins of the stores: the same behaviour, nothing survives the process."""
