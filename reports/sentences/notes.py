"""Sentences under a table."""

# What a number is.
ONE_SEED = "n = 1, so there is no interval: one seed cannot show a difference."
INTERVAL = "Mean over n seeds ± half-width of the 95 % t interval (new seeds, same images)."
RANGE = "Scores of two seeds: mean and range; two seeds give no useful interval."
CUT = "An interval that would leave 0 to 100 % is cut there and stands in parentheses."
OPEN_GREY = "Gains in grey: the interval includes zero, or one seed gives none."
OPEN_PARENTHESES = "Gains in parentheses: the interval includes zero, or one seed gives none."
NEVER_FOUND = "0: no seed has a correct pixel of the class ({rows})."
BEST = "Bold: the highest mean, if its paired interval lies above every other row."
TIE = "{column}: {row} has the highest mean, and the data do not separate it from {rows}."
TIE_BUT = (
    "{column}: {row} has the highest mean, and the data do not separate it from {rows}; among "
    "these, {pairs}."
)
LIES_ABOVE = "{row} lies above {other}"
GAIN = "Gain over {base}: percentage points, paired by seed. {population}"
GAIN_OF_SEEDS = (
    "Gain over {base}: percentage points, paired by seed (a seed fixes initial weights, sample "
    "order and augmentation). {population}"
)
TIMES = (
    "Inference time: median after a warm-up, with this root's other runs paused. Training time and "
    "memory were taken while other runs were active."
)
COSTS = "Costs: median and range of the seeds."
UNSTEADY = (
    "Unsteady, the slowest seed above {ratio} times the fastest: {rows}. Something else was using "
    "the machine, so compare costs with segloss perf."
)
BORDERS = (
    "boundary_mIoU: Boundary IoU, in a band inside each mask that is 2 % of the image's diagonal "
    "wide. trimap_mIoU_w: at pixels within w pixels of another label."
)
MEASURES = "Percentage points, paired by seed. {population}"
BORDER_MEASURES = "Boundary, trimap and thin-class gains: new seeds only, same images."
IMAGE_MEASURE = (
    "{measure}: each image's mIoU over the classes it contains, averaged over images; small "
    "objects weigh more."
)
EFFECTS = (
    "Mean over all pairs of rows that differ in this setting alone, paired by seed; percentage "
    "points. {population}"
)

PAIRS = "Each cell: its row minus its column, percentage points, paired by seed. {population}"
PAIRS_TOP = "The {count} highest of {rows} rows."
PAIRS_ALONE = (
    "Each interval is at 95 % by itself: of 20 pairs that tie, about one excludes zero by chance."
)
PARTS = (
    "The interval of a gain adds the parts in quadrature: new seeds on the same images, and new "
    "images at the same seeds."
)

# Which other experiments the intervals of gains cover.
COVERS_FOLDS = (
    "95 % intervals of gains allow for new seeds and folds: each seed scores its own fold."
)
COVERS_FEW_GROUPS = (
    "95 % intervals of gains allow for new seeds on these images, which come from {groups} groups, "
    "such as films: too few to stand for others."
)
COVERS_SEEDS = "95 % intervals of gains allow for new seeds on these images."
COVERS_IMAGES = (
    "95 % intervals of {metric} gains allow for new seeds and new images of the same kind."
)
COVERS_GROUPS = (
    "95 % intervals of {metric} gains allow for new seeds and new groups of images of the same "
    "kind (these come from {groups})."
)

# The exact test.
EXACT = "With {n} seeds the exact sign-flip test cannot go below p = {floor}."
EXACT_HOLM = (
    "With {n} seeds the exact sign-flip test cannot go below p = {floor}. p is adjusted by Holm "
    "for {family} comparisons."
)
EXACT_HOLM_TOO_FEW = (
    "With {n} seeds the exact sign-flip test cannot go below p = {floor}. p is adjusted by Holm "
    "for {family} comparisons, and these seeds are too few for any of them to reach 0.05."
)
EXACT_TOO_FEW_HOLM = (
    "With {n} seeds the exact sign-flip test cannot go below p = {floor}; adjusted by Holm for "
    "{family} comparisons, it needs {needed} seeds to reach 0.05."
)
EXACT_TOO_FEW = (
    "With {n} seeds the exact sign-flip test cannot go below p = {floor}; it needs {needed} seeds "
    "to reach 0.05."
)

# The recipes of a table's rows.
SHARED_RATE = (
    "All rows share one learning rate, {rate}: a loss on another scale might rank differently at a "
    "rate of its own."
)
RATES_GIVEN = "Rows have learning rates of their own ({rates}), given by the study, not tuned."
RATES_TUNED = "Rows have learning rates of their own ({rates}), each tuned with {trials} trials."
RATES_UNEQUAL = (
    "Rows have learning rates of their own ({rates}), which is unequal treatment: they were not "
    "all tuned alike ({trials})."
)
RECIPES_DIFFER = "Rows also differ in {settings}."

# What is missing.
NO_RUN_HAS = "No run has {columns}."
SOME_RUNS_LACK = "Some finished runs lack a number: {rows}."
ROWS_COMPLETE = "Every row is complete for {complete} of {seeds}."
TRIALS_COMPLETE = "{complete} of {trials} trials are complete."
RUNS_MISSING = "Missing runs (–): {runs}."
NO_MATRICES = "No per-image matrices of {runs}: {why}."

# The paper's numbers beside ours.
OTHER_EXPERIMENT = (
    "Ours: {ours}. The paper's numbers: {model} on {data}. These are different experiments: "
    "compare directions, not values."
)
PAPER = "Paper: {source}. {note}"
VERDICTS = (
    "Compared with the paper: = agrees, ≠ differs, no mark: cannot tell. Scores are judged only if "
    "the experiment is the same; gains only by sign, if the interval excludes zero."
)
TERMINAL_BEST = "* marks what other formats print in bold."
