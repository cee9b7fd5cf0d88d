"""`segloss perf`: what each loss costs."""
