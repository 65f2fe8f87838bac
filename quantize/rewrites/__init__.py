"""Prepare a float network for int8: rewrites that leave its function as it is."""
