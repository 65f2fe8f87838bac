"""The confidence that intervals have unless somebody asks for another."""

LEVEL = 95.0
"""Percent."""
