"""Range rules: from statistics of a tensor to the range it is quantized over."""
