"""Which layers int8 pays for."""
