"""From float weights to integers that keep a layer's output, not each weight by itself."""
