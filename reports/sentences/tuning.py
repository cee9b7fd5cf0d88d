"""Sentences about a tuning's answer."""

BUDGET = "Budget in trials ({methods}): {trials}, of {seeds}; {spent} of training and scoring."
EACH = "{count} each"
UNEQUAL = "not equal yet: {counts}"
TOO_FEW = "{method}: {count} finished trials, too few for a curve."
TOP = (
    "{method}: the curve through {count} trials is highest at {values}, {score} ({low} to {high}); "
    "{ranges}{gain} points over the study's own {own} ({gain_low} to {gain_high})"
)
NO_GAIN = ": no gain is shown"
RANGES = "95 % range of the top: {ranges}, "
CRF = (
    "{method}: the best of {count} trials scored in full ({stopped} more were stopped early), over "
    "{parameters} parameters, is {values}: {score}, {gain} points over the study's own {own}. All "
    "trials scored the same weights on the same images."
)
ORIGIN = (
    "top of the curve through {count} trials of {seeds} on {profile}, scored on {split}; "
    "{ranges}{gain} points ({gain_low} to {gain_high}) over {own}"
)
ORIGIN_CRF = "best of {count} trials on {profile}, scored on {split}; {gain} points over {own}"
