"""A result shown to people: Markdown, the HTML page, tables, and the diagnosis.

Renders what others measured and decided, and computes no figure of its own.
"""
