"""What every command of the product has in common: how it begins, prints and fails."""
