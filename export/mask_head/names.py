"""Names that others use of a mask head's forms, without what builds them."""

PLAIN = "plain"
"""The form that the network was exported in."""
