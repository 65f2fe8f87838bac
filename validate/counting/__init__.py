"""Images to rows of counts, one for each image and artifact, on one machine or many.

What figures they make, and what is judged by them, is said by `validate.judging`.
"""
