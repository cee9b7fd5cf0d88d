"""The exclusive stage: what is timed has been made once before."""

from bench.runs.heartbeat import TIMED_IMAGES, Watch
from bench.runs.rundir import RunDir


def test_timed_items_are_made_once_before_and_come_once(tmp_path):
    """Alone on the machine both times; the rest is made once, beside others."""
    (tmp_path / "runs/a").mkdir(parents=True)
    watch = Watch([RunDir(tmp_path / "runs/a")], None)
    made = []

    def make():
        for i in range(TIMED_IMAGES + 3):
            made.append((i, watch.quiet.timed))
            yield i

    assert list(watch.timed(make)) == list(range(TIMED_IMAGES + 3))
    first = [(i, True) for i in range(TIMED_IMAGES)]
    assert made == first + first + [(TIMED_IMAGES + i, False) for i in range(3)]
    watch.quiet.close()


def test_fewer_images_than_are_timed(tmp_path):
    """All are timed."""
    (tmp_path / "runs/a").mkdir(parents=True)
    watch = Watch([RunDir(tmp_path / "runs/a")], None)
    assert list(watch.timed(lambda: iter("ab"))) == ["a", "b"]
    watch.quiet.close()
