"""`segloss perf`: time, memory and error of each loss."""
