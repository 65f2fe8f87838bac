"""One command per file: read the options, call one public function, print its answer.

A stage is imported inside its command, so that `--help`, `gate` and `report` do not wait for
torch.
"""
