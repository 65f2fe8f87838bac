"""The result of a validation as files: what it holds, its seal, its tables' cells.

Measuring it is `validate.judging`, showing it `validate.report`.
"""
