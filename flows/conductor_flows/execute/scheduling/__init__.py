"""What runs next: pure, without clock, task or wait."""
