"""Segport: trained segmentation networks to verified ONNX, and what each file lost."""
