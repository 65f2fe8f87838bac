"""Rules that a file can break, each yielding where and by what numbers: `lint` lists them."""
