"""Search of a CRF's parameters: what is given up, what is left behind, and how it goes on."""

import numpy as np
import pytest
from tiny import TINY_PROFILE, TINY_STUDY

from bench.files import write_json, write_whole
from bench.manifest import remember
from bench.preflight import resolve_loss
from bench.profile import load_profile
from bench.runs.rundir import all_run_dirs, run_dir
from bench.worker.crf_search import finished_source
from studies.schema import load_study
from studies.tuning.crf_search import CrfSearch, given_up
from studies.tuning.search import searches
from studies.tuning.session import TuningSession
from studies.tuning.tuner import Tuner

SEARCH = '[search."CE & CRF"]\ncrf.theta_alpha = { low = 1.0, high = 81.0 }\n'
IMAGES, SEEDS = 30, 2


class FakeScorer:
    """Images that differ much, and a parameter that is best at 21 and moves all of them alike."""

    pairs = IMAGES * SEEDS

    def __init__(self):
        self.asked = 0

    def counts(self, crf, pairs):
        self.asked += len(pairs)
        quality = 0.4 - 0.004 * abs(crf.theta_alpha - 21)
        noise = np.random.default_rng(round(crf.theta_alpha)).normal(0, 0.01, self.pairs)
        return [quality + 0.01 * (pair % IMAGES) + noise[pair] for pair in pairs]

    def image_score(self, counts):
        return float(counts)

    def score(self, counts, metric):
        return float(np.mean(counts))

    def finish(self, directory, spec, counts, s):
        self.give_up(directory, spec, range(IMAGES), counts)
        metrics = {"miou": self.score(counts, "miou")}
        write_json(directory.path / "result.json", {"metrics": metrics})
        directory.write_state(status="finished")

    def give_up(self, directory, spec, images, counts):
        directory.create(spec)
        kept = {"ids": np.array(list(images)), "matrices": np.array(counts)}
        write_whole(directory.confusion, lambda path: np.savez(path, **kept))

    def kept(self, directory):
        stored = np.load(directory.confusion)
        return dict(zip(stored["ids"].tolist(), stored["matrices"].tolist(), strict=True))


@pytest.fixture
def search_on(tmp_path):
    """Searches a root, stopping before so many further trials; returns tuner, plan and scorer."""
    (tmp_path / "tiny.toml").write_text(TINY_PROFILE)
    (tmp_path / "s.toml").write_text(TINY_STUDY[: TINY_STUDY.index("[search")] + SEARCH)
    profile = load_profile(str(tmp_path / "tiny.toml")).for_tuning()
    study = load_study(str(tmp_path / "s.toml"))
    found = searches(
        study,
        methods=(),
        parameters=(),
        trials=14,
        resolve=resolve_loss,
        recipe=profile.recipe,
    )

    def run(root, stop_after=1000):
        root, scorer, left = tmp_path / root, FakeScorer(), [stop_after]
        names = ("s-tune", "tiny")
        tuner = Tuner(study, profile, names, tuple(found), SEEDS, root, resolve_loss)

        root.mkdir(exist_ok=True)
        session = TuningSession(tuner)
        remember(root, session.plan.manifest)

        def may_go_on():
            left[0] -= 1
            return left[0] >= 0

        CrfSearch(root, scorer, "miou", SEEDS).run(session, may_go_on)
        return tuner, session.plan, scorer

    return run


def outcome(tuner, plan):
    trials = tuner.trials(tuner.searches[0], plan.manifest)
    return [(trial.values, trial.over, trial.score, trial.given_up) for trial in trials]


def test_what_is_worse_image_by_image_is_given_up(search_on):
    """Images are saved; the best is scored in full; what is given up has a score to learn from."""
    tuner, plan, scorer = search_on("out")
    trials = tuner.trials(tuner.searches[0], plan.manifest)
    assert len(trials) == 14
    assert all(trial.over for trial in trials)
    assert scorer.asked < 0.8 * 14 * scorer.pairs
    whole = [trial for trial in trials if not trial.given_up]
    assert whole[0] == trials[0]
    best = max(whole, key=lambda trial: trial.score or 0)
    assert abs(float(best.values["crf.theta_alpha"]) - 21) < 6
    for trial in trials:
        if trial.given_up:
            true = 0.4 - 0.004 * abs(float(trial.values["crf.theta_alpha"]) - 21) + 0.145
            assert trial.score == pytest.approx(true, abs=0.02)


def test_a_run_given_up_is_no_result(search_on):
    """Its reason says after how many images; its counts are kept."""
    tuner, plan, _ = search_on("out")
    runs = [run_dir(tuner.root, i) for row in plan.manifest.tables[0].rows for i in row.run_ids]
    early = [run for run in runs if given_up(run)]
    assert early
    for run in early:
        assert run.result() is None
        assert run.state().status == "interrupted"
        assert "of 60 images: worse, image by image" in str(run.state().reason)
        assert run.confusion.exists()


def test_a_search_that_is_stopped_goes_on_to_the_same_end(search_on):
    """Whatever was decided stays decided, and nothing is scored twice."""
    calm, calm_plan, calm_scorer = search_on("calm")
    asked = 0
    for stop_after in (3, 7, 10, 1000):
        tuner, plan, scorer = search_on("stopped", stop_after)
        asked += scorer.asked
    assert outcome(tuner, plan) == outcome(calm, calm_plan)
    assert asked == calm_scorer.asked


def test_any_finished_training_of_the_same_weights_will_do(search_on):
    """It may be scored on another split; other data or another seed is another training."""
    tuner, plan, _ = search_on("out", stop_after=0)
    spec = plan.specs[plan.manifest.tables[0].rows[0].run_ids[0]].source
    assert finished_source(tuner.root, spec) is None
    data = spec.data.model_copy(update={"evaluate": "test", "evaluate_images": 7})
    for changes in ({"data": data}, {"data": data, "seed": 5}):
        run = spec.model_copy(update=changes)
        directory = run_dir(tuner.root, run.run_id)
        directory.create(run)
        directory.weights.write_text("")
        write_json(directory.path / "result.json", {})
    found = finished_source(tuner.root, spec)
    assert found is not None
    assert found.spec().data.evaluate == "test"
    fewer = data.model_copy(update={"train_images": 8})
    assert finished_source(tuner.root, spec.model_copy(update={"data": fewer})) is None
    assert len(all_run_dirs(tuner.root)) == 2
