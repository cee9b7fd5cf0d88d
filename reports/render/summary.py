"""A report in a few lines of Markdown, to paste into a README, an issue or a pull request."""

from __future__ import annotations

from bench.manifest import IMPORTED, Manifest
from reports.model import Origin, Report
from reports.render.legend import legend_of
from reports.render.text import escape_markdown, lead_markdown, markdown_rows
from reports.sentences import legend
from reports.sentences import notes as words


def summary_markdown(report: Report) -> str:
    """Return the verdict, the first table, what was run, and the command that runs it again."""
    table = report.tables[0]
    head = f"**{escape_markdown(table.title)}.** {escape_markdown(table.scale)}"
    marks = legend_of(table, words.OPEN_PARENTHESES)
    made = made_by(report.manifest, report.origin)
    parts = [lead_markdown(report.lead).rstrip(), head, markdown_rows(table)]
    return "\n\n".join([*parts, *filter(None, [escape_markdown(marks)]), made]) + "\n"


def made_by(manifest: Manifest, origin: Origin) -> str:
    """Return the command that makes a study's runs again, without a folder of this machine.

    For imported runs, a tuning and several profiles it is the one that builds the report.
    """
    if manifest.role == IMPORTED or manifest.search or origin.experiment_id is None:
        command = origin.command.partition(" --root ")[0].replace("`", "")
        return legend.BUILT_BY.format(command=command)
    seeds = len(manifest.seeds)
    command = f"segloss run {manifest.study} --profile {manifest.profile} --seeds {seeds}"
    return legend.RUN_AGAIN.format(command=command)
