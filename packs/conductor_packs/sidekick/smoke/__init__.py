"""`conductor sidekick smoke`: is the pack ready, seen from outside?"""
