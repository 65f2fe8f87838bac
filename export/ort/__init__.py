"""What every stage does with ONNX Runtime: sessions, providers, comparing two runs.

The engines that validation offers by name are in `validate.runtime`.
"""
