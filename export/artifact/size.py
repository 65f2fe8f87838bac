"""Sizes in pixels, height first."""

NOMINAL_SIZE = (513, 513)
"""Height and width at which a file that takes any size is counted and compared."""
MIN_SIZE = 33
"""Smallest height and width: two pixels at output stride 16."""
