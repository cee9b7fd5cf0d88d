"""Losses that an earlier plan resolved and runs that it checked: a later one needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from bench.cli.views.text import say_on_terminal
from bench.files import parse
from bench.preflight import check_runs, resolve_loss
from bench.probes.kept import at_hand, keep, recall
from bench.spec import LossSpec, Option, RunSpec, Scalar, digest


class KnownChecks:
    """What the last plan of the same studies found, as far as it holds for the code at hand."""

    def __init__(self, root: Path, plan: list[Any]) -> None:
        """Read what the root keeps.

        Args:
            root: the output folder.
            plan: JSON-shaped: the studies, the profile and the seeds.
        """
        self.root, self.key = root, ["plan", *plan]
        self.before: dict[str, Any] = recall(root, self.key) or {}
        self.now: dict[str, Any] = {}
        self.has_news = False

    def resolve(self, name: str, options: dict[str, Option]) -> tuple[LossSpec, dict[str, Scalar]]:
        """Return and raise as ``bench.preflight.resolve_loss``."""

        def found() -> list[Any]:
            spec, settings = resolve_loss(name, options)
            return [spec.model_dump(mode="json"), settings]

        spec, settings = self._once([name, options, at_hand(_modules(name))], found)
        return parse(LossSpec, spec, where=f"loss {name!r}"), settings

    def check(self, specs: Collection[RunSpec]) -> None:
        """Check every run and keep what was found; raises as ``bench.preflight.check_runs``."""
        losses = [loss for spec in specs for loss in (spec.loss, *spec.loss.terms)]
        modules = {module for loss in losses for module in _modules(loss.name)}
        modules |= {spec.model.module for spec in specs if not spec.model.is_deeplab}
        runs = sorted(spec.run_id for spec in specs)
        self._once([runs, at_hand(modules)], lambda: check_runs(specs) or True)
        if self.now != self.before:
            keep(self.root, self.key, self.now)

    def _once(self, inputs: list[Any], make: Callable[[], Any]) -> Any:
        key = digest(inputs)
        if key not in self.now:
            if key not in self.before and not self.has_news:
                self.has_news = True
                say_on_terminal("loading torch to check losses and network …")
            self.now[key] = self.before[key] if key in self.before else make()
        return self.now[key]


def _modules(loss: str) -> list[str]:
    """Return the module of a loss that is named by import path."""
    return [loss.partition(":")[0]] if ":" in loss else []
