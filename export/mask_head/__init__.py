"""From small logits to the class of every pixel, in standard ONNX, as fast as the runtime can.

A network ends in Resize, ArgMax and Cast over all classes at the image's size: most of that work
is interpolating logits of pixels whose class is plain to see. `tail` finds this end, `heads`
replaces it by one of its forms, `check` compares the two.
"""
