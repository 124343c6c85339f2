"""What a scale's cells are made into: tables, made again; figures and the report, by their specs; copies at the top."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from stgrpo.report.contents import FigureSpec, TableSpec
from stgrpo.report.csv_difference import csv_difference
from stgrpo.report.made import table_texts
from stgrpo.report.report_spec import ReportSpec
from stgrpo.verification.blocks import ENDING, Block
from stgrpo.verification.places import Blocks, check_inputs, check_spec
from stgrpo.verification.runs import GradedAgain
from stgrpo.verification.tree import Mismatch

_KINDS = {TableSpec: ("tex", "csv"), FigureSpec: ("pdf", "png"), ReportSpec: ("html",)}
_PUBLISHED = ("*.tex", "*.csv", "*.pdf", "*.png", "*.html")
_REPORTED = "workflow/resources/reported.csv"  # the paper's numbers


def check_made(one: Block, blocks: Blocks, graded_again: Mapping[Path, GradedAgain], root: Path) -> Iterator[Mismatch]:
    """A table, a figure or the report, by its own spec; a table is made again."""
    stem = one.path.name.removesuffix(ENDING)
    kind = _kind(one, stem)
    if kind is None:
        yield Mismatch(one.path, "is of no table, no figure and no report")
        return
    spec = yield from check_spec(one, kind, one.around["spec"])
    if spec.scale != one.scale.name:
        yield Mismatch(one.path, f"is of scale {spec.scale}, stands in the results of scale {one.scale.name}")
    if (name := getattr(spec, "name", "report")) != stem:
        yield Mismatch(one.path, f"is of {name}")
    if sorted(one.block["outputs"]) != sorted(f"{stem}.{form}" for form in _KINDS[kind]):
        yield Mismatch(one.path, f"does not say that it has made {' and '.join(_forms(kind, stem))}, and nothing else")
    yield from check_inputs(one, _inputs(spec, f"results/{one.scale.name}"))
    if isinstance(spec, TableSpec):
        yield from _table(one, spec, graded_again, root)
    elif isinstance(spec, FigureSpec):
        yield from _specs(one, spec.specs, "train.json", blocks)
    else:
        yield from _report(one, spec, blocks)


def is_table(one: Block) -> bool:
    """Whether a block stands beside a table."""
    return len(one.place) == 1 and one.path.with_name(one.path.name.replace(ENDING, ".tex")).is_file()


def check_published(results: Path, scales: list[Path]) -> Iterator[Mismatch]:
    """The copies at the top, each of the one scale that ran last."""
    for path in sorted(path for pattern in _PUBLISHED for path in results.glob(pattern)):
        originals = [scale / path.name for scale in scales if (scale / path.name).is_file()]
        if not path.is_file():
            yield Mismatch(path, "is no file, or a link that leads nowhere")
        elif not originals:
            yield Mismatch(path, "no scale has made it")
        elif path.read_bytes() not in [original.read_bytes() for original in originals]:
            yield Mismatch(path, f"is no copy of {' or '.join(map(str, originals))}")


def _kind(one: Block, stem: str) -> type[TableSpec] | type[FigureSpec] | type[ReportSpec] | None:
    """By the files beside it or, should they be gone, by what it says that it has made."""
    said = {Path(name).suffix.removeprefix(".") for name in one.block["outputs"]}
    for kind, forms in _KINDS.items():
        if said & set(forms) or any(one.path.with_name(name).exists() for name in _forms(kind, stem)):
            return kind
    return None


def _forms(kind: type, stem: str) -> list[str]:
    return [f"{stem}.{form}" for form in _KINDS[kind]]


def _inputs(spec: TableSpec | FigureSpec | ReportSpec, folder: str) -> list[str]:
    """Files that a spec implies."""
    if isinstance(spec, ReportSpec):
        return [*(name for names in spec.inputs(folder).values() for name in names), _REPORTED]
    names = ("metrics.json", "graded.jsonl") if isinstance(spec, TableSpec) else ("train.json", "train.jsonl")
    found = [f"{folder}/cells/{run}/{name}" for run in spec.specs for name in names]
    return [*found, _REPORTED] if isinstance(spec, TableSpec) and spec.comparable else found


def _specs(one: Block, wanted: Mapping[str, str], name: str, blocks: Blocks) -> Iterator[Mismatch]:
    """That runs are those whose specs are shown."""
    for run, spec in wanted.items():
        shown = blocks.get(("cells", *run.split("/"), name))
        if shown is None:
            yield Mismatch(one.path, f"shows {run}, whose {name} is not there or cannot be read")
        elif shown.block["spec"] != spec:
            yield Mismatch(shown.path, f"is of spec {shown.block['spec']}, {one.path.name} shows {spec}")


def _report(one: Block, spec: ReportSpec, blocks: Blocks) -> Iterator[Mismatch]:
    yield from _specs(one, spec.evaluated, "metrics.json", blocks)
    yield from _specs(one, spec.trained, "train.json", blocks)
    for shown in (*spec.tables, *spec.figures):
        made = blocks.get((f"{shown.name}{ENDING}",))
        for name in _forms(type(shown), shown.name):
            if not (path := one.path.with_name(name)).is_file():
                yield Mismatch(path, f"is gone, {one.path.name} shows it")
        if made is not None and made.block["spec"] != shown.hash():
            yield Mismatch(one.path, f"shows {shown.name} of spec {shown.hash()}, {made.path} says another")


def _table(one: Block, table: TableSpec, graded_again: Mapping[Path, GradedAgain], root: Path) -> Iterator[Mismatch]:
    reported = root / _REPORTED if table.comparable else None
    if reported and not reported.is_file():
        yield Mismatch(reported, f"is not there; without it {one.path.parent / table.name}.tex cannot be made again")
        return
    folders = [one.scale / "cells" / run for run in table.specs]
    if lost := [folder for folder in folders if folder not in graded_again]:
        yield Mismatch(one.path, f"its table cannot be made again: {lost[0]} cannot be graded")
        return
    runs = [(folder / "metrics.json", graded_again[folder].graded) for folder in folders]
    for name, again, differs in zip(
        _forms(TableSpec, table.name),
        table_texts(table, runs, reported),
        (_text_difference, csv_difference),
        strict=True,
    ):
        path = one.path.with_name(name)
        if difference := differs(path.read_text(encoding="utf-8"), again):
            yield Mismatch(path, f"is not what the predictions give: {difference}")


def _text_difference(found: str, again: str) -> str | None:
    ours, theirs = found.splitlines(), again.splitlines()
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if one != other:
            start = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
            cut = slice(max(0, start - 20), start + 20)
            return f"line {number} has '{one[cut]}', should have '{other[cut]}'"
    return None if found == again else f"{len(ours)} lines, should be {len(theirs)}"
