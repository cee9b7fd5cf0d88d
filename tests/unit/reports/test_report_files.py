"""The files of a report in a folder that may hold others."""

from reports.render.files import PAPER, remove_earlier


def test_a_report_removes_its_own_old_figures_and_no_file_of_the_user(tmp_path):
    """`--out` may name the folder of a paper."""
    theirs = {tmp_path / "thesis.pdf", tmp_path / "drawing.svg"}
    ours = [tmp_path / name for name in ("index.html", "gains.svg", "gains.pdf", PAPER)]
    for file in (*theirs, *ours):
        file.write_text("x")
    remove_earlier(tmp_path, ours)
    assert {*theirs, *ours} <= set(tmp_path.iterdir())
    remove_earlier(tmp_path, ours[:1])
    left = {file for file in tmp_path.iterdir() if not file.name.startswith(".")}
    assert left == {*theirs, ours[0]}
