"""Sentences about a study on several profiles."""

GAIN = "Gain over {base}: percentage points, paired by seed on each profile."
ON_PROFILES = "On {profiles}: {sentence}"
MEAN_GAIN = (
    "Mean gain: the mean of the profiles' gains, with Student's 95 % interval over {count} "
    "profiles, each of which counts once; it covers other data and networks of this kind."
)
FEWER_PROFILES = "Means over fewer profiles: {rows}."
OTHER_CONDITIONS = (
    "† A run behind this gain was made under different conditions than its neighbours; the report "
    "of that profile says which."
)
SCALE = "{profile}: {scale}; {seeds}."
NO_ROW = "{profile} has no row {rows}."
NOT_FINISHED = "No run has finished on {profile} of {rows}."
LEFT_OUT = "Ranks and spreads leave out {rows}."
SETTING = "{row} differs between profiles in {key}: {values}."
NO_RANKS = "Fewer than two rows have finished on every profile: there are no ranks."
RANKS = "Rank 1 is the highest mean score of a profile; rows that tie share the mean of ranks."
TWO_ROWS = "Two rows alone: tests of ranks need three."
FRIEDMAN_DIFFER = (
    "Friedman's test over {profiles} profiles and {rows} rows: chi-squared {statistic}, p {p} "
    "(rows differ)."
)
FRIEDMAN_OPEN = (
    "Friedman's test over {profiles} profiles and {rows} rows: chi-squared {statistic}, p {p} "
    "(no difference between rows is shown)."
)
CRITICAL = "Nemenyi's critical difference (5 %): {critical} ranks."
CRITICAL_TOO_WIDE = (
    "Nemenyi's critical difference (5 %): {critical} ranks, more than the {widest} that two rows "
    "can lie apart: more profiles are needed."
)
SEPARATION = (
    "Between rows: the standard deviation of the rows' mean scores. Within a row: that of a row's "
    "seeds, pooled over rows (Isensee et al., nnU-Net Revisited, 2024)."
)
SEPARATION_OF_TIES = (
    "The last column is the ratio to expect if all rows tie: a profile with a ratio near it shows "
    "noise; the higher its ratio, the better it tells rows apart."
)
NO_GAIN = "No row has a gain over {base} on every profile."
HIGHEST = (
    "On {profiles} profiles {row} has the highest mean gain over {base}: {gain} points, {verdict}."
)
SHOWN = "whose 95 % interval excludes zero"
NOT_SHOWN = "whose 95 % interval includes zero"
BELOW = "whose 95 % interval lies below zero"
BEST_RANK = "{row} has the best mean rank, {rank} of {rows} rows."
