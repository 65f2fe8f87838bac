"""What `import segport` gives: typed functions that accept what users have, and their results.

They check and convert arguments and call the three packages; nothing here computes a figure.
"""
