"""The engines that predict: one per file; `table` lists them, `runtimes` opens one."""
