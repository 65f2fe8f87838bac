"""Ways to write verdicts down, one per file; `formats` has the table of them."""
