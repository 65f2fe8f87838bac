"""Rewrites: single operators, in forms that int8 has or that have a faster kernel.

What looks at channels and their ranges is beside this folder.
"""
