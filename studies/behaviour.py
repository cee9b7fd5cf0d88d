"""Finished runs against the code at hand: which of them it would make in another way.

Each run has a record of how its parts behaved (probes.json, made by ``bench.probes``). The same
record of the code and the data at hand tells whether its result still stands for them. No torch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import SeglossError
from bench.runs.rundir import State, run_dir
from bench.runs.source_code import changed_text
from bench.spec import RunSpec, digest
from studies.ledger import DONE, REPLACED, current_state
from studies.recorded import Part, Record, recorded

SMALLEST = 1e-3
"""Values are compared as shares of the largest one of their group, but of no less than this."""
UNTRIED = "cannot be tried, so its text decides"
LABELS = 3
"""Largest number of rows that a line names."""


class StaleError(SeglossError):
    """Finished runs behave differently from the code at hand, and the user has to decide."""


@dataclass
class Change:
    """A part that differs from the one that finished runs were made with."""

    part: str
    """loss, network, recipe or data."""
    subject: str
    """Name of the loss; empty for the other parts."""
    run_ids: list[str] = field(default_factory=list)
    rows: set[str] = field(default_factory=set)
    """Labels of their rows."""
    text: set[str] = field(default_factory=set)
    """Modules and packages that have changed."""
    numbers: set[str] = field(default_factory=set)
    """What behaves differently, such as "gradient"."""
    share: float = 0.0
    """Largest difference as a share of the values; inf where no numbers can be compared."""

    def __str__(self) -> str:
        rows = sorted(self.rows)
        more = f" and {len(rows) - LABELS} more" if len(rows) > LABELS else ""
        text = f"changed: {', '.join(sorted(self.text))}" if self.text else ""
        where = f"{_runs(len(self.run_ids))} of {', '.join(rows[:LABELS])}{more}"
        facts = "; ".join(filter(None, [self._difference(), text]))
        return f"{self.part} {self.subject}".strip() + f": {facts} ({where})"

    def _difference(self) -> str:
        if not self.numbers or UNTRIED in self.numbers:
            return UNTRIED if self.numbers else ""
        verb = "differs" if len(self.numbers) == 1 else "differ"
        if self.part == "data":
            return f"{' and '.join(sorted(self.numbers))} are not those of the finished runs"
        share = f" by up to {100 * self.share:.2g} %" if math.isfinite(self.share) else ""
        return f"{' and '.join(sorted(self.numbers))} {verb}{share}"


@dataclass(frozen=True)
class Behaviour:
    """The finished runs of some specifications, compared with the code at hand."""

    changes: tuple[Change, ...] = ()
    """Parts that behave differently."""
    edited: tuple[Change, ...] = ()
    """Parts whose text has changed and that behave as before."""
    compared: tuple[str, ...] = ()
    """Every run that was compared."""
    unprobed: tuple[str, ...] = ()
    """Runs of older versions, which recorded no behaviour: their results count as they are."""
    note: str = ""
    """Why nothing was compared."""
    unread: Mapping[str, int] = field(default_factory=dict)
    """Why data cannot be read, each with the number of runs whose data were not compared."""

    @property
    def stale(self) -> dict[str, str]:
        """Return the parts in which each run behaves differently, such as "loss, network"."""
        parts: dict[str, list[str]] = {}
        for change in self.changes:
            for run_id in change.run_ids:
                parts.setdefault(run_id, []).append(change.part)
        return {run_id: ", ".join(dict.fromkeys(found)) for run_id, found in parts.items()}

    @property
    def lines(self) -> list[str]:
        """Return what a user should know before results are used; nothing if all is as it was."""
        found = []
        if count := len(self.stale):
            runs = "1 finished run behaves" if count == 1 else f"{count} finished runs behave"
            found.append(f"{runs} differently from the code and the data at hand:")
            found += [f"  {change}" for change in self.changes]
        found += self._unread
        if count := len(self.unprobed):
            found.append(
                f"unprobed: {count} finished run{'s' * (count > 1)} of an older version, which did "
                "not record how its runs behave; they count as they are"
            )
        return found

    @property
    def facts(self) -> list[str]:
        """Return a line for each part that has changed, in its text or in how it behaves."""
        differently = [f"Behaves differently: {change}." for change in self.changes]
        as_before = [f"Edited, and behaves as before: {change}." for change in self.edited]
        return [*filter(None, [self.note]), *self._unread, *differently, *as_before]

    @property
    def _unread(self) -> list[str]:
        return [
            f"The data of {_runs(count)} cannot be read, so nothing tells whether they are the "
            f"same: {fault}"
            for fault, count in self.unread.items()
        ]


def compare(
    root: Path,
    specs: Mapping[str, RunSpec],
    labels: Mapping[str, str],
    record: Callable[[RunSpec], Record] | None,
) -> Behaviour:
    """Return how the finished and diverged runs among ``specs`` compare with the code at hand.

    Args:
        root: the output folder.
        specs: the runs by id.
        labels: label of the row of each run by its id; a run outside all rows needs none.
        record: returns the record of a training, made from the code and the data at hand; None if
            nothing has changed since.
    """
    changes: dict[tuple[str, str, bool], Change] = {}
    compared, unprobed, unread = [], [], Counter[str]()
    for run_id, spec in specs.items():
        directory = run_dir(root, run_id)
        status = current_state(directory).status
        if status not in DONE:
            continue
        # Nothing was executed for an evaluation of a training that diverged.
        source = run_dir(root, spec.source.run_id) if status == "diverged" else directory
        then = recorded(source.probes)
        now = record(spec.source) if then and record else then
        if then is None or now is None or then["form"] != now["form"]:
            unprobed.append(run_id)
            continue
        compared.append(run_id)
        if "fault" in now["parts"].get("data", ()) and "numbers" in then["parts"].get("data", ()):
            unread[now["parts"]["data"]["fault"]] += 1
        for part, text, numbers, share in _differences(then["parts"], now["parts"]):
            subject = spec.loss.names if part == "loss" else ""
            change = changes.setdefault((part, subject, bool(numbers)), Change(part, subject))
            change.run_ids.append(run_id)
            change.rows.add(labels.get(run_id, spec.loss.label))
            change.text |= text
            change.numbers |= numbers
            change.share = max(change.share, share)
    found = changes.items()
    return Behaviour(
        changes=tuple(change for (*_, behaves), change in found if behaves),
        edited=tuple(change for (*_, behaves), change in found if not behaves),
        compared=tuple(compared),
        unprobed=tuple(unprobed),
        unread=unread,
    )


def _differences(
    then: Mapping[str, Part], now: Mapping[str, Part]
) -> Iterator[tuple[str, set[str], set[str], float]]:
    """Yield each part whose text differs or that behaves differently: text, numbers and share."""
    for part in sorted(now.keys() & then.keys()):
        text = _changed_text(then[part]["text"], now[part]["text"])
        if "numbers" in then[part] and "numbers" in now[part]:
            shares = _shares(then[part]["numbers"], now[part]["numbers"])
            if then[part]["text"]["packages"] != now[part]["text"]["packages"]:
                shares.pop("pixels", None)  # another decoder may differ in the last bit of a pixel
        elif part == "data":  # ``Behaviour.unread`` says that its files cannot be read
            continue
        else:  # it cannot be tried, so its text decides
            shares = {UNTRIED: math.inf} if text else {}
        if text or shares:
            yield part, text, set(shares), max(shares.values(), default=0.0)


def _shares(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, float]:
    """Return the differences beyond what another machine may cause, as shares by their kind."""
    found: dict[str, float] = {}
    for name in then.keys() & now.keys():
        ours, theirs = now[name], then[name]
        within = max(ours["within"], theirs["within"])
        share = _share(theirs["values"], ours["values"])
        if share > within:
            kind = name.partition(":")[0]
            found[kind] = max(share, found.get(kind, 0.0))
    return found


def _share(then: list[float], now: list[float]) -> float:
    """Return the largest difference of two lists as a share of their largest value."""
    if len(then) != len(now):
        return math.inf
    if not then:
        return 0.0
    pairs = list(zip(then, now, strict=True))
    finite = [abs(x) for pair in pairs for x in pair if math.isfinite(x)]
    scale = max([SMALLEST, *finite])
    return max(_distance(*pair) for pair in pairs) / scale


def _distance(a: float, b: float) -> float:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf


def _changed_text(
    then: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]
) -> set[str]:
    """Return the modules and packages in which two texts differ, packages with their versions."""
    files = {**then["files"], **now["files"]}
    changed = {name for name in files if then["files"].get(name) != now["files"].get(name)}
    packages = {**then["packages"], **now["packages"]}
    for name in packages:
        old, new = then["packages"].get(name, "none"), now["packages"].get(name, "none")
        if old != new:
            changed.add(f"{name} {old} to {new}")
    return changed


def specs_of(root: Path, run_ids: Iterable[str]) -> dict[str, RunSpec]:
    """Return the specification of each run that has a record of how it behaved."""
    directories = [run_dir(root, run_id) for run_id in run_ids]
    return {d.run_id: d.spec() for d in directories if d.probes.exists()}


def edited_text(root: Path, run_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the modules and packages that have changed since, each with the runs made before."""
    known: dict[str, list[str]] = {}
    edited: dict[str, list[str]] = {}
    for run_id in run_ids:
        record = recorded(run_dir(root, run_id).probes) or {"parts": {}}
        for part in record["parts"].values():
            key = digest(part["text"])
            if key not in known:
                known[key] = changed_text(part["text"])
            for name in known[key]:
                edited.setdefault(name, []).append(run_id)
    return {name: list(dict.fromkeys(runs)) for name, runs in edited.items()}


def edited_lines(root: Path, states: Mapping[str, State]) -> list[str]:
    """Return what `segloss status -v` says of the finished runs among ``states``.

    Only text is compared, which needs no torch.
    """
    done = [run_id for run_id, state in states.items() if state.status in DONE]
    found = [
        f"  changed since {_runs(len(run_ids))} ended: {name}"
        for name, run_ids in edited_text(root, done).items()
    ]
    if found:
        found.append("  segloss plan says whether these runs would still behave the same")
    if kept := sum(states[run_id].kept is not None for run_id in done):
        found.append(f"  {_runs(kept)} of other code kept with --keep-old")
    trained = [d for run_id in done if not (d := run_dir(root, run_id)).imported.exists()]
    if unprobed := sum(not directory.probes.exists() for directory in trained):
        found.append(f"  {_runs(unprobed)} unprobed: made by an older version")
    return found


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def refuse(behaviour: Behaviour) -> None:
    """Raise StaleError, with the ways out, if a finished run behaves differently."""
    if not behaviour.stale:
        return
    losses = sorted({change.subject for change in behaviour.changes if change.part == "loss"})
    ways = [f"raise `version` in the class of {' and '.join(losses)}"] if losses else []
    ways.append(f"train them again with --again (their results move to {REPLACED}/)")
    ways.append("use them as they are with --keep-old (the report says so)")
    raise StaleError(
        "\n".join([*behaviour.lines, f"They are not used. Either {'; or '.join(ways)}."])
    )
