"""Sentences about the conditions of runs: whether they agree, and what is taken on trust."""

TRUST = (
    "These runs were made elsewhere: that those of a seed share data, initial weights and sample "
    "order is taken on trust."
)
OTHER_CONDITIONS = (
    "† A run of this row was made under different conditions than its neighbours: {differences}; "
    "see Conditions."
)
OTHER_BEHAVIOUR = "of the {parts} is not that of the code at hand"
UNPROBED_RUN = (
    "1 run was made by a version that did not record how its parts behave (unprobed): {rows}. "
    "Whether today's code would give the same numbers is not known."
)
UNPROBED_RUNS = (
    "{count} runs were made by a version that did not record how their parts behave (unprobed): "
    "{rows}. Whether today's code would give the same numbers is not known."
)
