"""A report in a few lines of Markdown, to paste into a README, an issue or a pull request."""

from __future__ import annotations

from bench.manifest import IMPORTED
from reports.model import Report
from reports.render.legend import legend_of
from reports.render.text import escape_markdown, markdown_rows
from reports.sentences import legend


def summary_markdown(report: Report) -> str:
    """Return the verdict, the first table, what was run, and the command that runs it again."""
    table = report.tables[0]
    head = f"**{escape_markdown(table.title)}.** {escape_markdown(report.summary)}"
    marks = escape_markdown(f"{table.scale} {legend_of(table)}".strip())
    again = legend.REPRODUCE.format(command=again_command(report).replace("`", ""))
    return "\n\n".join([head, markdown_rows(table), marks, again]) + "\n"


def again_command(report: Report) -> str:
    """Return the command that makes a study's runs again, without a folder of this machine.

    For imported runs, a tuning and several profiles it is the one that builds the report.
    """
    manifest, origin = report.manifest, report.origin
    if manifest.role == IMPORTED or manifest.search or origin.experiment_id is None:
        return origin.command.partition(" --root ")[0]
    seeds = len(manifest.seeds)
    return f"segloss run {manifest.study} --profile {manifest.profile} --seeds {seeds}"
