"""What the gate is made of: budgets, the baseline, verdicts and how they are written down."""
