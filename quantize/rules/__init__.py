"""Rules a file can break: each function yields where, and by what numbers."""
