"""Make the report of a scale: one page of what its cells left, to be looked at.

Writes: OUT, an HTML file that needs no other.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.commands import add_spec
from stgrpo.files import write_text
from stgrpo.report.audit import read_paper
from stgrpo.report.costs import costs
from stgrpo.report.deviations import TRAINER, deviations
from stgrpo.report.failures import failures
from stgrpo.report.frame_scores import frame_scores
from stgrpo.report.origins import origins
from stgrpo.report.page import Page, render
from stgrpo.report.paper import paper
from stgrpo.report.report_spec import ReportSpec
from stgrpo.report.results import Results, read_results
from stgrpo.report.side_by_side import side_by_side


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument("--results", type=Path, required=True, help="folder of the scale's results")
    parser.add_argument("--reported", type=Path, required=True, help="the paper's numbers, for their own audit")
    parser.add_argument("--out", type=Path, required=True, help="page to write")


def run(args: Namespace) -> None:
    """Read, lay out, write."""
    spec = ReportSpec.model_validate_json(args.spec)
    results = read_results(spec, args.results)
    page = _page(results, args.reported)
    text = render(page)
    write_text(args.out, text)
    print(f"{args.out}: {len(results.runs)} runs at scale {spec.scale}, {len(text.encode()) / 1e6:.1f} MB")


def _page(results: Results, reported: Path) -> Page:
    return Page(
        spec=results.spec,
        commit=None,
        facts=[],
        side_by_side=side_by_side(results),
        frame_scores=frame_scores(results),
        costs=costs(results),
        failures=failures(results),
        paper=paper(read_paper(reported)),
        deviations=deviations(TRAINER.read_text(encoding="utf-8")),
        origins=origins(results),
    )
