"""What the stages hand on: the artifact, classes, pictures, findings of a diagnosis.

Plain data, and how it is read and written. What makes or judges it is a stage's own.
"""
