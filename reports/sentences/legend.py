"""What the marks of a table mean, in one line each: for a paper and for a pull request."""

INTERVAL = "± is half the width of the 95 % interval over n seeds."
RANGE = "(a–b): range of the seeds, or a 95 % interval that ends at 0 or 100."
GAINS = "Gains: percentage points, paired by seed."
BEST = "Bold: above every other row by its paired interval."
MISSING = "–: no run."
DOUBTFUL = "†: run under different conditions than its neighbours."
VERDICTS = "= agrees with the paper, ≠ differs from it."
QUOTED = "(paper): quoted, without runs of ours."

# The last line of a summary.
RUN_AGAIN = "Run it again: `{command}`"
BUILT_BY = "Built by `{command}`"
