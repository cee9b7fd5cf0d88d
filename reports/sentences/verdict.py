"""Sentences of a study's answer, which open its report."""

# The verdict in a few words.
NO_RUN = "No run has finished yet."
NOTHING_TO_COMPARE = "Nothing to compare."
SETTLED = "Settled."
SETTLED_SO_FAR = "Settled among the rows that have run."
SETTLED_AGAINST_BASE = "Settled against {base}, open against {rows}."
NOT_SETTLED = "Not settled."

# The difference that decides, and its certainty.
ONE_ROW = "{row} has {score} {value} (n = {n}); no other row has a finished run."
NO_SHARED_SEED = "No other row has finished a seed that {row} has."
SAME = "{row} and {other} have the same mean {score}, {value}."
AHEAD_OF_ONE_SEED = (
    "{row} is {gain} points of {score} above {other} ({ours} against {theirs} %), but one seed "
    "cannot tell a difference from chance."
)
AHEAD = (
    "{row} is {gain} points of {score} above {other} ({ours} against {theirs} %), {agreement}; the "
    "95 % interval runs from {low} to {high}."
)
AHEAD_OPEN = (
    "{row} is {gain} points of {score} above {other} ({ours} against {theirs} %), {agreement}, but "
    "with {n} seeds the 95 % interval still runs from {low} to {high}."
)
IN_BOTH = "in both seeds ({gains})"
IN_ALL = "in all {n} seeds ({gains})"
IN_SOME = "in {count} of {n} seeds ({gains})"

# The other rows.
NONE_ABOVE = "No gain over {base} is above zero."
ABOVE_ALL = "{row} lies above every other row."
ABOVE = "{row} also lies above {rows}."
BELOW = "On the seeds that both have, {row} lies below {rows}."
OPEN = "The data do not separate {row} from {rows}."
CHOSEN = (
    "{row} is the highest of {count} gains, and the interval does not allow for that choice: if "
    "all rows tie, the interval of the highest lies above zero in up to about {share} of 100 "
    "studies, that of a single gain in 2.5."
)
BASE_MISSING = "{base}, the row that gains are measured against, has no finished run."

# What makes the gain.
CLASSES = "Of {gain} points, {classes}."
CLASSES_EVEN = "Of {gain} points, no class gives more than {most} ({name})."

# What would settle it.
FORECAST = (
    "If seeds go on varying as they do, {seeds} seeds narrow ± {now} to about ± {then}: a true "
    "difference of {effect} points from {other} then shows in at least four of five studies. That "
    "probably takes {low} to {high} seeds, because {seen} seeds give only a rough idea of the "
    "spread."
)
FORECAST_OPEN = (
    "If seeds go on varying as they do, {seeds} seeds narrow ± {now} to about ± {then}: a true "
    "difference of {effect} points from {other} then shows in at least four of five studies. That "
    "may take {low} seeds or many more, because {seen} seeds give only a rough idea of the spread."
)
TOO_MANY = (
    "If seeds go on varying as they do, a true difference of {effect} points from {other} "
    "takes more than {most} seeds to show."
)
TOO_MANY_LIKELY = (
    "If seeds go on varying as they do, a true difference of {effect} points from {other} takes "
    "{low} seeds or many more to show, and more likely than not over {most}."
)
IMAGES_ALONE = (
    "More seeds cannot show a difference of {effect} points from {other}: new images alone leave "
    "± {images} points; more test images can."
)
GROUPS_ALONE = (
    "More seeds cannot show a difference of {effect} points from {other}: new groups of images "
    "alone leave ± {images} points; more groups can."
)
THREE_SEEDS = "Three seeds give a first interval."

# What is wrong with the runs.
RUN_MISSING = "1 run is missing."
RUNS_MISSING = "{count} runs are missing."
LEARNED_NOTHING = "{runs} learned nothing: at most one class has correct pixels."

# The figure under the answer.
FOREST = "Gain over {base} in {score}: mean, 95 % interval, and a tick for each seed."
FOREST_GREY = "Hollow and grey: the interval includes zero, or one seed gives none."
FOREST_ARROW = "An arrow: the interval is longer than the axis."
FOREST_ONE_SEED = "Gain over {base} in {score} with one seed, which has no interval."
FOREST_TOP = "The {count} highest of {rows} rows."
