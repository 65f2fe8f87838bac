"""Results of many runs, by commit."""
