"""How fast artifacts run and what memory they take.

Where the time goes is `validate.profiling`.
"""
