"""The kinds of data sets: one module each, listed by `layouts`, opened by `datasets`.

Lists of files. Nothing is decoded here: that is `validate.samples`.
"""
