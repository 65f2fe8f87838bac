"""The gate: budgets, verdicts, exit codes. The whole way is `gate`.

The comparison with earlier results is in `baseline`, ways to write verdicts in `formats`, trials of
the gate itself in `proof`.
"""
