"""Many files of many networks, made, judged together, and those that nothing beats.

What one file's making and judging are is said by `segport.making` and `validate.judging`.
"""
