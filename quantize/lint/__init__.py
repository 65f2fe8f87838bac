"""Lint rules, each yielding where a file breaks it and by what numbers; `lint` lists them."""
