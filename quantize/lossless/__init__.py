"""Rewrites of the finished int8 file after which it computes the same integers in less time."""
