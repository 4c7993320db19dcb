"""What Sidekick's tools take and answer, as types for programs that call them."""
