"""What an insertion of Q/DQ pairs is made of: fixed scales, tensors without a pair, what follows.

The insertion itself is `quantize.graph.qdq`.
"""
