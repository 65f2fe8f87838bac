"""Whether a gate can be trusted: planted regressions, and how many images it needs."""
