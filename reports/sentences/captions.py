"""Sentences under figures and over example images."""

CURVE = "{score} over {setting}."
INTERVALS = "Lines are 95 % intervals."
GAINS = "Gain in IoU over {base} by class, the classes in order of their mean gain."
SOME_CLASSES = "Shown are {shown} of {all} classes: those with the largest gains and losses."
FILLED = "Filled: the 95 % interval (line) excludes zero."
CUT = "An arrow marks an interval that is longer than the axis."
NO_INTERVAL = "One seed gives no interval."
BOUNDARY = "Gain in mIoU over {base} at pixels within a distance of a class boundary."
BAND = "Bands are 95 % intervals."
SEEDS = "{score} of every finished run; the bar is the mean of the row."
TRAINING = "{score} on training crops: mean over seeds."
AGAINST = "The line of {base} stands in every panel."
RANGE = "Bands run from the lowest to the highest seed."
TRAINING_LOSS = (
    "Training loss: mean over seeds. Loss values of different methods are not comparable."
)
PROGRESS = (
    "{score} on {split} during training: mean over seeds. Nothing was chosen by these scores."
)
COLOURS_AGAIN = "From the eighth row on, colours repeat with other marks and dashes."

TUNING = "{score} of {method} over {setting}: the curve through all trials with its 95 % band."
TUNING_MARKS = (
    "A mark is one training; the vertical line is the top of the curve, the dashed line the "
    "study's own value ({own})."
)
TUNING_OTHERS = "The other settings have their values at the top of the curve."

PROFILES = "Gain over {base} on each profile and its mean over profiles."
RANKS = (
    "Mean rank over {profiles} profiles; 1 is best. The bar above the axis is Nemenyi's critical "
    "difference, {critical:.2f}; a bar below it joins rows whose ranks do not differ "
    "(Demšar, 2006)."
)

RUNS = "{runs}, ended {days}."
HOURS = "Training and scoring took {hours} hours of one worker."

COSTS = "Median over seeds, as a multiple of that of {base}; below it the range over seeds."
EVERY_KEPT = (
    "The {kept} images that every run keeps, in order of the gain of {leader} over {base} "
    "(per-image mIoU, seed {seed})."
)
SOME_KEPT = (
    "{shown} of the {kept} images that every run keeps, at even quantiles of the gain of {leader} "
    "over {base} (per-image mIoU, seed {seed})."
)
HEADINGS = "A heading gives the gain and its rank among all {images} images; 1 is the lowest."
FIRST_KEPT = "The first {shown} of the {kept} images that every run keeps, at seed {seed}."
NOT_SHOWN = "{image} is not shown: {why}."
UNDER_EACH = "Under each prediction: {colours}."
