"""The kinds of data sets: one module each, listed by `validate.datasets`."""
