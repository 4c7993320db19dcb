"""What each request does to a plan, or why it is refused."""
