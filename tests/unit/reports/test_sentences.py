"""Every sentence of the room reports/sentences: where it appears and where it does not."""

import importlib
import pkgutil
import re
import string
from collections.abc import Callable, Iterator

import pandas as pd
import pytest
from said import (
    LEVELS,
    ROWS,
    said,
    said_of_profiles,
    said_of_tuning,
    said_of_two,
    study,
    together,
    tuning,
    with_images,
    without_matrices,
)

import reports.sentences
from reports.figures.forest import forest_figures
from reports.figures.progress import sentence
from reports.published import find_published
from reports.report import _unprobed

SEVEN = {"CE": range(40, 47), "RMI": range(50, 57)}
GROUPED = tuple("aabbccddeeff")
RATES = {label: {**row, "recipe.lr": 0.1 + i} for i, (label, row) in enumerate(ROWS.items())}
OWN = {"recipe.lr": "each row's own"}
TWO = {"CE": (40.0, 41.0), "RMI": (50.0, 52.0)}
BY_CLASS = {
    (label, seed): {"iou/a": score / 100 + 0.04 * i, "iou/b": score / 100 - 0.04 * i}
    for i, (label, scores) in enumerate(LEVELS.items())
    for seed, score in enumerate(scores)
}
EVENLY = {
    (label, seed): {f"iou/c{k}": score / 100 for k in range(9)}
    for label, scores in TWO.items()
    for seed, score in enumerate(scores)
}
BORDERS = {"final/trimap_miou_3": 0.3, "final/thin_miou": 0.2}
FACTORS = {
    "RMI 1": {"loss.name": "rmi", "loss.factor": 1},
    "RMI 2": {"loss.name": "rmi", "loss.factor": 2},
}


def profile(name: str, levels=LEVELS, **facts):
    return study(levels, profile=name, **facts)


def forest(scores) -> str:
    (figure,) = forest_figures(scores)
    return figure.caption


def on_the_way(*rows: tuple[float, ...], band: float = 0.1) -> str:
    """What is said of rows whose scores at steps 50, 90 and 100 are these."""
    lines = [
        {"label": f"row {i}", "step": step, "mean": at, "low": at - band, "high": at + band, "n": 3}
        for i, scores in enumerate(rows)
        for step, at in zip((50, 90, 100), scores, strict=True)
    ]
    return sentence(pd.DataFrame(lines))


def unprobed(count: int) -> str:
    lines = [("RMI", str(i), "finished", None) for i in range(count)]
    return "\n".join(
        _unprobed(pd.DataFrame(lines, columns=["label", "run_id", "status", "probed"]))
    )


SCENES: dict[str, Callable[[], str]] = {
    "three seeds": lambda: said(study()),
    "one seed": lambda: said(study({"CE": [40.0], "RMI": [50.0]})),
    "one seed, three rows": lambda: said(study({"CE": [40.0], "RMI": [50.0], "Dice": [45.0]})),
    "one row": lambda: said(study({"RMI": [50.0, 51.0]})),
    "two seeds": lambda: said(study(TWO)),
    "seven seeds": lambda: said(study(SEVEN)),
    "seven seeds, three rows": lambda: said(study({**SEVEN, "Dice": range(30, 37)})),
    "seven seeds, five rows": lambda: said(
        study({**SEVEN, "Dice": range(30, 37), "A": range(20, 27), "B": range(20, 27)})
    ),
    "tie": lambda: said(study({"CE": (40, 42, 44), "RMI": (41, 44, 43)})),
    "a wide leader": lambda: said(
        study({"CE": (50.0, 51.0, 52.0), "Dice": (43.0, 44.5, 45.0), "RMI": (40.0, 55.0, 64.0)})
    ),
    "ahead of CE alone": lambda: said(
        study(
            {
                "CE": (40.0, 41.0, 42.0),
                "RMI": (50.0, 51.0, 52.2),
                "Dice": (49.0, 52.0, 51.0),
                "BCE": (30.0, 31.0, 32.2),
            }
        )
    ),
    "the leader outdone": lambda: said(
        study({"CE": (50.0, 50.0, 50.0), "RMI": (55.0, 55.0, None), "Dice": (55.5, 55.5, 52.0)})
    ),
    "CE ahead": lambda: said(study({"CE": (50.0, 51.0, 52.0), "RMI": (49.0, 50.5, 51.0)})),
    "disjoint seeds": lambda: said(study({"CE": (40, None), "RMI": (None, 50)})),
    "CE waits": lambda: said(study({"CE": (None, None), "RMI": (50.0, 51.0), "Dice": (1.0, 2.0)})),
    "perhaps equal": lambda: said(study({"CE": (50.0, 51.0), "RMI": (50.3, 50.9)})),
    "nearly equal": lambda: said(study({"CE": (40, 41, 42), "RMI": (41, 41, 41.2)})),
    "nearly settled": lambda: said(study({"CE": (40, 41, 42), "RMI": (41, 44, 44.2)})),
    "one class": lambda: said(study(of_runs=BY_CLASS | {("RMI", 0): {"iou/a": 0.1, "iou/b": 0.0}})),
    "by class": lambda: said(study(of_runs=BY_CLASS)),
    "by class, evenly": lambda: said(study(TWO, of_runs=EVENLY)),
    "equal": lambda: said(study({"CE": (40, 42), "RMI": (40, 42)})),
    "nothing": lambda: said(study({"CE": [None, None], "RMI": [None, None]})),
    "one missing": lambda: said(study({"CE": (40.0, 41.0), "RMI": (50.0, None)})),
    "two missing": lambda: said(study({"CE": (40.0, None), "RMI": (50.0, None)})),
    "imported": lambda: said(study(role="imported")),
    "folds": lambda: said(study(settings={"data.folds": 3})),
    "images": lambda: said(with_images(study(columns=("miou", "miou_image")))),
    "groups": lambda: said(with_images(study(), GROUPED)),
    "two groups": lambda: said(with_images(study(), tuple("aaaaaabbbbbb"))),
    "borders": lambda: said(
        with_images(
            study(
                runs={"final/trimap_miou_3": 0.3, "final/thin_miou": 0.2},
                columns=("trimap_miou_3",),
            )
        )
    ),
    "costs": lambda: said(study(columns=("miou", "infer_ms"), runs={"cost/infer_ms": 3.0})),
    "costs of one seed": lambda: said(
        study({"CE": [40.0]}, columns=("miou", "infer_ms"), runs={"cost/infer_ms": 3.0})
    ),
    "costs of a busy machine": lambda: said(
        study(
            columns=("miou", "infer_ms"),
            runs={"cost/infer_ms": 3.0},
            of_runs={("RMI", 1): {"cost/infer_ms": 90.0}},
        )
    ),
    "high scores": lambda: said(study({"CE": (97, 98, 99.5), "RMI": (90, 91, 99)})),
    "a class never found": lambda: said(
        study(runs={"iou/sky": 0.5, "iou/sign": 0.0, "iou/road": 0.4})
    ),
    "a factor": lambda: said(study({"RMI 1": (4, 5), "RMI 2": (5, 6)}, rows=FACTORS)),
    "one rate": lambda: said(study(settings={"recipe.lr": 0.1})),
    "rates given": lambda: said(study(rows=RATES, settings=OWN)),
    "rates tuned": lambda: said(study(rows=RATES, settings=OWN, trials=dict.fromkeys(ROWS, 9))),
    "rates unequal": lambda: said(study(rows=RATES, settings=OWN, trials={"RMI": 9})),
    "recipes": lambda: said(
        study(
            rows={k: {**row, "recipe.clip_norm": i} for i, (k, row) in enumerate(ROWS.items())},
            settings={"recipe.lr": 0.1},
        )
    ),
    "no such score": lambda: said(study(columns=("miou", "thin_miou"))),
    "some scores": lambda: said(
        study(columns=("miou", "thin_miou"), of_runs={("CE", 0): {"final/thin_miou": 0.4}})
    ),
    "paper": lambda: said(study(paper="1a", settings={"data.name": "camvid"})),
    "the paper's experiment": lambda: said(
        study(
            paper="1a",
            metric="miou_21",
            runs={"final/miou_21": 0.77},
            settings=find_published("1a", "deeplabv3").fixed,
        )
    ),
    "odd digest": lambda: said(
        study(runs={"digest/code": "a"}, of_runs={("RMI", 1): {"digest/code": "b"}})
    ),
    "odd behaviour": lambda: said(
        study(runs={"behaves": None}, of_runs={("RMI", 1): {"behaves": "loss"}})
    ),
    "all probed": lambda: unprobed(0),
    "one unprobed": lambda: unprobed(1),
    "two unprobed": lambda: unprobed(2),
    "profiles": lambda: said_of_profiles(profile("a"), profile("b")),
    "profiles, seven": lambda: said_of_profiles(*(profile(name) for name in "abcdefg")),
    "profiles, two rows": lambda: said_of_profiles(profile("a", TWO), profile("b", TWO)),
    "profiles, CE ahead": lambda: said_of_profiles(
        *(profile(n, {"CE": (50, 51 + i), "RMI": (40, 41)}) for i, n in enumerate("abcd"))
    ),
    "profiles, far apart": lambda: said_of_profiles(
        profile("a"), profile("b", {"CE": (40, 41), "RMI": (10, 12)})
    ),
    "profiles, none shared": lambda: said_of_profiles(
        profile("a", {"CE": (40, 41)}), profile("b", {"RMI": (10, 12)})
    ),
    "profiles, one waits": lambda: said_of_profiles(
        profile("a"), profile("b", {**TWO, "Dice": (None, None)})
    ),
    "profiles, other settings": lambda: said_of_profiles(
        profile("a", rows=RATES), profile("b", rows=ROWS)
    ),
    "profiles, imported": lambda: said_of_profiles(profile("a", role="imported"), profile("b")),
    "profiles, odd": lambda: said_of_profiles(
        profile("a", runs={"digest/code": "a"}, of_runs={("RMI", 1): {"digest/code": "b"}}),
        profile("b"),
    ),
    "two studies": lambda: said_of_two(
        study(), study(TWO, settings={"recipe.steps": 9}, study="o")
    ),
    "one study twice": lambda: said_of_two(study(), study()),
    "tuning": lambda: said_of_tuning(tuning((30, 10, 20, 30, 40, 50), own=0.5)),
    "tuning without gain": lambda: said_of_tuning(tuning((30, 29, 30, 30, 29, 30))),
    "tuning of three": lambda: said_of_tuning(tuning((40, 30, 50))),
    "tuning, stopped": lambda: said_of_tuning(tuning((40, 41, None, 43, 44, 41))),
    "tuning of a CRF": lambda: said_of_tuning(tuning((40, 41, 42), crf=True)),
    "tuning of two methods": lambda: said_of_tuning(
        together(tuning((40, 30, 50)), tuning((40, 30), method="Dice"))
    ),
    "fourteen rows": lambda: said(
        study({"CE": (40, 41), **{f"R{i}": (i, i + 2) for i in range(13)}})
    ),
    "Dice waits": lambda: said(study({**TWO, "Dice": (None, None)})),
    "a steady training": lambda: on_the_way((40, 40, 40), (50, 50, 50)),
    "a training that turns": lambda: on_the_way((40, 45, 50), (30, 48, 60)),
    "a noisy training": lambda: on_the_way((40, 40, 40), (39.9, 40.5, 40.5), band=2),
    "forest": lambda: forest(study()),
    "forest of a tie": lambda: forest(study({"CE": (40, 41), "RMI": (40, 42)})),
    "forest of seven seeds": lambda: forest(study(SEVEN)),
    "forest of one seed": lambda: forest(study({"CE": [40.0], "RMI": [50.0]})),
    "forest of thirteen": lambda: forest(
        study({"CE": (40, 41), **{f"R{i}": (i, i + 2) for i in range(13)}})
    ),
    "damaged": lambda: said(without_matrices()),
}
"""What a report says of a study, by the name of the study."""

CASES: dict[str, tuple[str, str]] = {
    "notes.ONE_SEED": ("one seed", "three seeds"),
    "notes.INTERVAL": ("three seeds", "one seed"),
    "notes.RANGE": ("two seeds", "three seeds"),
    "notes.CUT": ("high scores", "three seeds"),
    "notes.OPEN_GREY": ("tie", "seven seeds"),
    "notes.OPEN_PARENTHESES": ("tie", "seven seeds"),
    "notes.NEVER_FOUND": ("a class never found", "by class"),
    "notes.COSTS": ("costs", "costs of one seed"),
    "notes.UNSTEADY": ("costs of a busy machine", "costs"),
    "notes.BEST": ("three seeds", "tie"),
    "notes.TIE": ("tie", "three seeds"),
    "notes.TIE_BUT": ("a wide leader", "tie"),
    "notes.LIES_ABOVE": ("a wide leader", "tie"),
    "notes.GAIN": ("imported", "one row"),
    "notes.GAIN_OF_SEEDS": ("three seeds", "imported"),
    "notes.TIMES": ("costs", "three seeds"),
    "notes.BORDERS": ("borders", "three seeds"),
    "notes.PAIRS": ("three seeds", "two seeds"),
    "notes.PAIRS_ALONE": ("three seeds", "one seed, three rows"),
    "notes.PAIRS_TOP": ("fourteen rows", "three seeds"),
    "notes.PARTS": ("images", "three seeds"),
    "notes.MEASURES": ("images", "three seeds"),
    "notes.BORDER_MEASURES": ("borders", "images"),
    "notes.IMAGE_MEASURE": ("images", "three seeds"),
    "notes.EFFECTS": ("a factor", "three seeds"),
    "notes.COVERS_FOLDS": ("folds", "three seeds"),
    "notes.COVERS_FEW_GROUPS": ("two groups", "groups"),
    "notes.COVERS_SEEDS": ("three seeds", "images"),
    "notes.COVERS_IMAGES": ("images", "groups"),
    "notes.COVERS_GROUPS": ("groups", "images"),
    "notes.EXACT": ("seven seeds", "one seed"),
    "notes.EXACT_HOLM": ("seven seeds, three rows", "seven seeds"),
    "notes.EXACT_HOLM_TOO_FEW": ("seven seeds, five rows", "seven seeds, three rows"),
    "notes.EXACT_TOO_FEW": ("two seeds", "three seeds"),
    "notes.EXACT_TOO_FEW_HOLM": ("three seeds", "two seeds"),
    "notes.SHARED_RATE": ("one rate", "rates given"),
    "notes.RATES_GIVEN": ("rates given", "rates tuned"),
    "notes.RATES_TUNED": ("rates tuned", "rates unequal"),
    "notes.RATES_UNEQUAL": ("rates unequal", "rates given"),
    "notes.RECIPES_DIFFER": ("recipes", "rates given"),
    "notes.NO_RUN_HAS": ("no such score", "some scores"),
    "notes.SOME_RUNS_LACK": ("some scores", "no such score"),
    "notes.ROWS_COMPLETE": ("one missing", "three seeds"),
    "notes.TRIALS_COMPLETE": ("tuning, stopped", "tuning"),
    "notes.RUNS_MISSING": ("one missing", "three seeds"),
    "notes.NO_MATRICES": ("damaged", "images"),
    "notes.OTHER_EXPERIMENT": ("paper", "the paper's experiment"),
    "notes.PAPER": ("the paper's experiment", "three seeds"),
    "notes.VERDICTS": ("the paper's experiment", "three seeds"),
    "notes.TERMINAL_BEST": ("three seeds", "tie"),
    "legend.INTERVAL": ("three seeds", "one seed"),
    "legend.RANGE": ("two seeds", "three seeds"),
    "legend.GAINS": ("three seeds", "one row"),
    "legend.BEST": ("three seeds", "tie"),
    "legend.MISSING": ("nothing", "three seeds"),
    "legend.DOUBTFUL": ("odd digest", "three seeds"),
    "legend.VERDICTS": ("the paper's experiment", "three seeds"),
    "legend.QUOTED": ("paper", "three seeds"),
    "legend.RUN_AGAIN": ("three seeds", "imported"),
    "legend.BUILT_BY": ("imported", "three seeds"),
    **{
        f"others.{name}": ("the paper's experiment", "three seeds")
        for name in ("TITLE", "SCALE", "SIGNS", "INTERVALS")
    },
    "others.SOURCE": ("the paper's experiment", "one row"),
    "conditions.TRUST": ("imported", "three seeds"),
    "conditions.OTHER_CONDITIONS": ("odd digest", "three seeds"),
    "conditions.OTHER_BEHAVIOUR": ("odd behaviour", "odd digest"),
    "conditions.UNPROBED_RUN": ("one unprobed", "two unprobed"),
    "conditions.UNPROBED_RUNS": ("two unprobed", "all probed"),
    "verdict.NO_RUN": ("nothing", "one missing"),
    "verdict.NOTHING_TO_COMPARE": ("one row", "three seeds"),
    "verdict.SETTLED": ("three seeds", "tie"),
    "verdict.SETTLED_SO_FAR": ("Dice waits", "three seeds"),
    "progress.STEADY": ("a steady training", "a training that turns"),
    "progress.RANKING": ("a training that turns", "a steady training"),
    "progress.RANKING_WITHIN": ("a noisy training", "a training that turns"),
    "progress.BEFORE": ("a training that turns", "a steady training"),
    "progress.UNSTEADY": ("a training that turns", "a steady training"),
    "verdict.SETTLED_AGAINST_BASE": ("ahead of CE alone", "three seeds"),
    "verdict.NOT_SETTLED": ("tie", "three seeds"),
    "verdict.ONE_ROW": ("one row", "three seeds"),
    "verdict.NO_SHARED_SEED": ("disjoint seeds", "CE waits"),
    "verdict.SAME": ("equal", "tie"),
    "verdict.AHEAD_OF_ONE_SEED": ("one seed", "three seeds"),
    "verdict.AHEAD": ("three seeds", "tie"),
    "verdict.AHEAD_OPEN": ("tie", "three seeds"),
    "verdict.IN_BOTH": ("two seeds", "three seeds"),
    "verdict.IN_ALL": ("three seeds", "tie"),
    "verdict.IN_SOME": ("tie", "three seeds"),
    "verdict.NONE_ABOVE": ("CE ahead", "three seeds"),
    "verdict.ABOVE_ALL": ("three seeds", "ahead of CE alone"),
    "verdict.ABOVE": ("ahead of CE alone", "three seeds"),
    "verdict.BELOW": ("the leader outdone", "ahead of CE alone"),
    "verdict.CHOSEN": ("ahead of CE alone", "three seeds"),
    "verdict.OPEN": ("ahead of CE alone", "three seeds"),
    "verdict.BASE_MISSING": ("CE waits", "one missing"),
    "verdict.CLASSES": ("by class", "three seeds"),
    "verdict.CLASSES_EVEN": ("by class, evenly", "by class"),
    "verdict.FORECAST": ("nearly settled", "tie"),
    "verdict.FORECAST_OPEN": ("tie", "nearly settled"),
    "verdict.TOO_MANY": ("nearly equal", "perhaps equal"),
    "verdict.TOO_MANY_LIKELY": ("perhaps equal", "nearly equal"),
    "verdict.IMAGES_ALONE": ("images", "tie"),
    "verdict.GROUPS_ALONE": ("groups", "images"),
    "verdict.THREE_SEEDS": ("one seed", "two seeds"),
    "verdict.LEARNED_NOTHING": ("one class", "by class"),
    "verdict.RUN_MISSING": ("one missing", "two missing"),
    "verdict.RUNS_MISSING": ("two missing", "one missing"),
    "verdict.FOREST": ("forest", "forest of one seed"),
    "verdict.FOREST_ONE_SEED": ("forest of one seed", "forest"),
    "verdict.FOREST_GREY": ("forest of a tie", "forest of seven seeds"),
    "verdict.FOREST_ARROW": ("forest of a tie", "forest"),
    "verdict.FOREST_TOP": ("forest of thirteen", "forest"),
    "compare.DIFFERS": ("two studies", "one study twice"),
    "compare.SHARED_RUNS": ("one study twice", "three seeds"),
    "compare.GAIN": ("two studies", "three seeds"),
    "compare.ALONE": ("two studies", "one study twice"),
    "profiles.GAIN": ("profiles", "three seeds"),
    "profiles.ON_PROFILES": ("profiles, imported", "three seeds"),
    "profiles.MEAN_GAIN": ("profiles", "three seeds"),
    "profiles.FEWER_PROFILES": ("profiles, one waits", "profiles"),
    "profiles.OTHER_CONDITIONS": ("profiles, odd", "profiles"),
    "profiles.SCALE": ("profiles", "three seeds"),
    "profiles.NO_ROW": ("profiles, far apart", "profiles"),
    "profiles.NOT_FINISHED": ("profiles, one waits", "profiles"),
    "profiles.LEFT_OUT": ("profiles, one waits", "profiles"),
    "profiles.SETTING": ("profiles, other settings", "profiles"),
    "profiles.NO_RANKS": ("profiles, none shared", "profiles"),
    "profiles.RANKS": ("profiles", "profiles, none shared"),
    "profiles.TWO_ROWS": ("profiles, two rows", "profiles"),
    "profiles.FRIEDMAN_DIFFER": ("profiles, seven", "profiles"),
    "profiles.FRIEDMAN_OPEN": ("profiles", "profiles, seven"),
    "profiles.CRITICAL": ("profiles, seven", "profiles, two rows"),
    "profiles.CRITICAL_TOO_WIDE": ("profiles", "profiles, seven"),
    "profiles.SEPARATION": ("profiles", "three seeds"),
    "profiles.SEPARATION_OF_TIES": ("profiles", "three seeds"),
    "profiles.NO_GAIN": ("profiles, none shared", "profiles"),
    "profiles.HIGHEST": ("profiles", "profiles, none shared"),
    "profiles.SHOWN": ("profiles", "profiles, far apart"),
    "profiles.NOT_SHOWN": ("profiles, far apart", "profiles"),
    "profiles.BELOW": ("profiles, CE ahead", "profiles"),
    "profiles.BEST_RANK": ("profiles", "profiles, none shared"),
    "tuning.BUDGET": ("tuning", "three seeds"),
    "tuning.EACH": ("tuning", "three seeds"),
    "tuning.UNEQUAL": ("tuning of two methods", "tuning"),
    "tuning.TOO_FEW": ("tuning of three", "tuning"),
    "tuning.TOP": ("tuning", "tuning of three"),
    "tuning.NO_GAIN": ("tuning without gain", "tuning"),
    "tuning.RANGES": ("tuning", "tuning of three"),
    "tuning.CRF": ("tuning of a CRF", "tuning"),
    "tuning.ORIGIN": ("tuning", "tuning of a CRF"),
    "tuning.ORIGIN_CRF": ("tuning of a CRF", "tuning"),
}
"""For each sentence a study whose report has it, and one whose report does not."""


def sentences() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every constant of the room."""
    for module in pkgutil.iter_modules(reports.sentences.__path__):
        if module.name == "captions":  # test_captions.py has their cases
            continue
        found = vars(importlib.import_module(f"reports.sentences.{module.name}"))
        for name, value in found.items():
            if name.isupper():
                yield f"{module.name}.{name}", value


def pattern(template: str) -> str:
    """Return an expression that finds a sentence whatever its fields hold."""
    parts = string.Formatter().parse(template)
    return "".join(re.escape(text) + ("" if name is None else ".*?") for text, name, *_ in parts)


def test_every_sentence_has_its_cases():
    assert CASES.keys() == dict(sentences()).keys()


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """What was said of the studies, each built once."""
    return {}


@pytest.mark.parametrize("name", CASES)
def test_a_sentence_appears_where_it_applies_and_nowhere_else(name, texts):
    found = pattern(dict(sentences())[name])
    shown, left_out = (texts.get(scene) or SCENES[scene]() for scene in CASES[name])
    texts |= dict(zip(CASES[name], (shown, left_out), strict=True))
    assert re.search(found, shown), f"{CASES[name][0]!r} does not say it:\n{shown}"
    assert not re.search(found, left_out), f"{CASES[name][1]!r} says it:\n{left_out}"


REPLACED = (
    "no difference is shown",
    "other seeds, these images",
    "speak of other seeds and other images",
    "cannot fall below",
    "while no other run of this root worked",
    "A score is judged by its interval",
    "of the classes that it shows",
    "loss, each its own",
    "do not compare",
    "made under other conditions",
)
"""Wordings that readers stumbled over; each has a successor in the room."""


@pytest.mark.parametrize("wording", REPLACED)
def test_no_wording_that_was_replaced_is_left(wording, pytestconfig):
    folder = pytestconfig.rootpath / "reports"
    texts = [*folder.rglob("*.py"), *folder.rglob("*.j2")]
    assert not [file.name for file in texts if wording in file.read_text()]
