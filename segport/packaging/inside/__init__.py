"""What a package contains of code: these files, as they are.

They import nothing of Segport, only numpy, onnxruntime and Pillow, and each runs as a script.
`segport verify` runs the same functions, from here and never from the package.
"""
