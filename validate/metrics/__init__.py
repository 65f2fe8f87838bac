"""Figures and how sure they are: confusion matrices, agreement, intervals.

Arrays in, numbers out: no files, no images, no artifacts.
"""
