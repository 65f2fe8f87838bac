"""Masks and overlays for a user's own images."""
