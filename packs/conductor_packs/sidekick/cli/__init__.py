"""`conductor sidekick …`: the pack's commands."""
