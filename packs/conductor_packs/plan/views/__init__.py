"""Plans as people see them: on a terminal, and as pictures that need nothing else."""
