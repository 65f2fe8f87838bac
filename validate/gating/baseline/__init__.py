"""What artifacts reached before, and results held against it: paired or unpaired."""
