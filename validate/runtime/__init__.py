"""The engines that predict: one per file; `runtimes` has the table of them."""
