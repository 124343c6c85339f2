"""Make the report of a scale: one page of what its cells left, to be looked at.

Writes: OUT, an HTML file that needs no other, and its provenance.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.commands import add_spec, vouch
from stgrpo.errors import UserError
from stgrpo.files import write_text
from stgrpo.provenance import commit
from stgrpo.report.audit import read_paper
from stgrpo.report.costs import costs
from stgrpo.report.deviations import TRAINER, deviations
from stgrpo.report.failures import failures
from stgrpo.report.findings import differences, findings, on_average
from stgrpo.report.frame_scores import frame_scores
from stgrpo.report.origins import origins
from stgrpo.report.page import Page, facts, render
from stgrpo.report.paper import paper
from stgrpo.report.report_spec import ReportSpec
from stgrpo.report.reported import read_reported
from stgrpo.report.results import Results, read_results
from stgrpo.report.side_by_side import side_by_side
from stgrpo.report.table_views import table_view
from stgrpo.report.trainings import bias_view, curves, figure_views


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument("--results", type=Path, required=True, help="folder of the scale's results")
    parser.add_argument("--reported", type=Path, required=True, help="the paper's numbers, for their own audit")
    parser.add_argument("--out", type=Path, required=True, help="page to write")


def run(args: Namespace) -> None:
    """Read, lay out, write."""
    spec = ReportSpec.model_validate_json(args.spec)
    read = [Path(name) for names in spec.inputs(str(args.results)).values() for name in names] + [args.reported]
    if missing := [path for path in read if not path.is_file()]:
        raise UserError(f"{missing[0]}: no such file; make it and all others by snakemake {args.out}")
    results = read_results(spec, args.results)
    text = render(_page(results, args.reported))
    write_text(args.out, text)
    vouch(spec, read, args.out)
    print(f"{args.out}: {len(results.runs)} runs at scale {spec.scale}, {len(text.encode()) / 1e6:.1f} MB")


def _page(results: Results, reported: Path) -> Page:
    spec = results.spec
    graded = {(run.cell, run.seed): run.graded for run in results.runs}
    tables = [
        table_view(table, graded, read_reported(reported, table) if table.comparable else {}) for table in spec.tables
    ]
    compared = differences(tables)
    figures, bias, failed, spent = figure_views(results), bias_view(results), failures(results), costs(results)
    return Page(
        spec=spec,
        facts=facts(spec, failed, spent),
        seeds=max(len(results.of_cell(cell)) for cell in spec.cells),
        findings=findings(compared, figures, bias, failed),
        on_average=on_average(compared),
        tables=tables,
        figures=figures,
        curves=curves(results),
        bias=bias,
        side_by_side=side_by_side(results),
        frame_scores=frame_scores(results),
        costs=spent,
        failures=failed,
        paper=paper(read_paper(reported)),
        deviations=deviations(TRAINER.read_text(encoding="utf-8")),
        origins=origins(results),
        commit=_code(),
    )


def _code() -> str:
    """The commit of the code that lays out the page, and whether it was changed since."""
    found = commit()
    return (found["commit"] or "unknown") + (" with uncommitted changes" if found["dirty"] else "")
