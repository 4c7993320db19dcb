"""What a node may ask of the world, and who provides it."""
