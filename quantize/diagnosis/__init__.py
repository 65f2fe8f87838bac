"""Where a smaller network's error comes from."""
