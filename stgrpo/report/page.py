"""The report as one page of HTML that runs nothing and fetches nothing, whatever its texts contain.

Templates lay out what is given to them, and every value goes through `shown` and is escaped; none is let through as
markup. Pictures are data: addresses in <img>, so that what a drawing contains cannot act in the page either.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stgrpo.config import QUESTIONS
from stgrpo.report.costs import Cost
from stgrpo.report.curves import METRICS
from stgrpo.report.failures import Failures
from stgrpo.report.findings import Difference, Finding
from stgrpo.report.frame_scores import FrameScores
from stgrpo.report.origins import Origins
from stgrpo.report.paper import Paper
from stgrpo.report.report_spec import ReportSpec
from stgrpo.report.rounding import half_up, signed
from stgrpo.report.side_by_side import SideBySide
from stgrpo.report.table_views import TableView
from stgrpo.report.trainings import BiasView, Curves, FigureView
from stgrpo.report.visible import visible
from stgrpo.statistics import Estimate, percent

SECTIONS = {  # by the names of their templates
    "findings": "Findings",
    "tables": "Tables",
    "figures": "The mechanism",
    "curves": "Training curves",
    "bias": "The bias",
    "answers": "Answers side by side",
    "frames": "Frame scores",
    "cost": "Cost",
    "failures": "Failures",
    "paper": "The paper’s own numbers",
    "deviations": "Deviations",
    "origins": "Where it comes from",
}


@dataclass(frozen=True)
class Fact:
    """A number of the head of the page."""

    value: str
    name: str


@dataclass(frozen=True)
class Page:
    """All that the page shows, a field a section."""

    spec: ReportSpec
    facts: Sequence[Fact]
    seeds: int
    findings: Sequence[Finding]
    on_average: Sequence[Difference]
    tables: Sequence[TableView]
    figures: Sequence[FigureView]
    curves: Curves | None
    bias: BiasView | None
    side_by_side: SideBySide | None
    frame_scores: FrameScores | None
    costs: Sequence[Cost]
    failures: Failures
    paper: Paper
    deviations: Sequence[str]
    origins: Origins
    commit: str

    @property
    def reach(self) -> float:
        """Points from 0 of the end of the widest drawn interval."""
        ends = [(one.estimate.low, one.estimate.value, one.estimate.high) for one in self.on_average]
        return max((abs(end) for three in ends for end in three if end is not None), default=0.0) or 1.0


def facts(spec: ReportSpec, failed: Failures, spent: Sequence[Cost]) -> list[Fact]:
    """The numbers of the head: how much there is of what."""
    last = spent[-1]
    hours = [seconds for seconds in (last.training, last.evaluation) if seconds is not None]
    return [
        Fact(str(len(spec.cells)), "cells"),
        Fact(str(len(spec.trained)), "trainings"),
        Fact(str(last.seeds), "seed" if last.seeds == 1 else "seeds"),
        Fact(str(len(spec.benchmarks)), "benchmarks"),
        Fact(f"{failed.asked:,}", "answers scored"),
        *([Fact(duration(sum(hours)), "of training and evaluation")] if hours else []),
    ]


def render(page: Page) -> str:
    """The page's HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("stgrpo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "between": between,
        "drawn": drawn,
        "duration": duration,
        "half_up": half_up,
        "minus": minus,
        "numbered": numbered,
        "percent": percent,
        "probability": probability,
        "signed": signed,
    }
    style = templates.get_template("page.css").render()
    return templates.get_template("page.html").render(
        page=page,
        sections=[{"id": name, "title": title} for name, title in SECTIONS.items()],
        style_hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        questions=list(QUESTIONS),
        titles=page.spec.benchmarks,
        metrics=METRICS,
    )


def shown(value: Any) -> Any:
    """A value as templates print it: every character of a text can be seen."""
    from markupsafe import Markup

    if isinstance(value, str) and not isinstance(value, Markup):  # Markup is what a template made of shown values
        return visible(value)
    return value


def between(estimate: Estimate, digits: int = 1) -> str:
    """Its 95 % interval in words; none where nothing can be said."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return minus(f"{half_up(estimate.low, digits)} to {half_up(estimate.high, digits)}")


def probability(p: float | None) -> str:
    """Three decimals of a p; a dash for None."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else half_up(p, 3)


def drawn(drawing: str) -> str:
    """An <svg> as a data: address; a page may not look into a picture, nor a picture out of itself."""
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"


def duration(seconds: float | None) -> str:
    """12 s, 3 min, 1.5 h; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{half_up(seconds, 0)} s"
    return f"{half_up(seconds / 60, 0)} min" if seconds < 6000 else f"{half_up(seconds / 3600)} h"


def numbered(name: str) -> str:
    """table2 -> Table 2."""
    return re.sub(r"^([a-z]+)(\d+)$", lambda found: f"{found[1].capitalize()} {found[2]}", name)


def minus(text: str) -> str:
    """With a minus sign instead of the hyphen that stands for it."""
    return text.replace("-", "−")
