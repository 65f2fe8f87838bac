"""How each ONNX operator is written with LiteRT's; `table` lists them."""
