"""The kinds of data sets: one module each, listed by `datasets`.

Lists of files. Nothing is decoded here: that is `validate.samples`.
"""
