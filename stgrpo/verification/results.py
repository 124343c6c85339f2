"""All of a results folder: the chain of hashes, every run, every table made again, and the copies at the top."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stgrpo.errors import UserError
from stgrpo.files import read_json
from stgrpo.report.contents import FigureSpec, TableSpec
from stgrpo.report.made import table_texts
from stgrpo.report.report_spec import ReportSpec
from stgrpo.verification.blocks import Block, Mismatch, check_blocks, check_spec, read_blocks
from stgrpo.verification.runs import Regraded, check_run, check_scores, regrade

_KINDS = {"tex": TableSpec, "pdf": FigureSpec, "html": ReportSpec}
_PUBLISHED = ("*.tex", "*.csv", "*.pdf", "*.png", "*.html")


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what does not hold."""

    files: int
    runs: int
    tables: int
    mismatches: tuple[Mismatch, ...]


def verify(results: Path) -> Verified:
    """Check every scale's results.

    Raises:
        UserError: there are none.
    """
    scales = sorted({folder.parent for folder in results.glob("*/cells")})
    if not scales:
        raise UserError(f"{results}: holds no scale's cells; make some (snakemake), or name another folder")
    mismatches, files, runs, tables = list(_published(results, scales)), 0, 0, 0
    for scale in scales:
        blocks, broken = read_blocks(scale)
        folders = sorted(folder for folder in scale.glob("cells/*/seed*") if folder.is_dir())
        made = [one for one in blocks if one.path.parent == scale]
        mismatches += broken
        mismatches += _guarded(scale, check_blocks(scale, blocks))
        regraded: dict[Path, Regraded] = {}
        for folder in folders:
            mismatches += _guarded(folder, check_run(folder))
            mismatches += _guarded(folder, _grade_again(folder, regraded))
        for one in made:
            mismatches += _guarded(one.path, _made(one, regraded))
        files += len({path for one in blocks for path in one.made})
        runs += len(folders)
        tables += sum(one.path.with_name(one.path.name.replace(".provenance.json", ".tex")).exists() for one in made)
    return Verified(files, runs, tables, tuple(mismatches))


def _guarded(where: Path, checks: Iterator[Mismatch]) -> Iterator[Mismatch]:
    """What cannot even be checked is a mismatch too: a file that is gone or damaged, a field that is missing."""
    try:
        yield from checks
    except UserError as error:
        yield Mismatch(where, str(error))
    except FileNotFoundError as error:
        yield Mismatch(Path(error.filename), "is gone")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield Mismatch(where, f"cannot be checked: {type(error).__name__}: {error}")


def _grade_again(folder: Path, regraded: dict[Path, Regraded]) -> Iterator[Mismatch]:
    """Scores from the predictions, kept for the tables."""
    regraded[folder] = regrade(folder)
    yield from check_scores(folder, regraded[folder])


def _made(one: Block, regraded: Mapping[Path, Regraded]) -> Iterator[Mismatch]:
    """A table, a figure or the report, by its own spec; a table is made again."""
    stem = one.path.name.removesuffix(".provenance.json")
    kind = next(kind for form, kind in _KINDS.items() if f"{stem}.{form}" in one.block["outputs"])
    yield from check_spec(one.path, kind, one.around["spec"], one.block["spec"])
    spec = kind.model_validate(one.around["spec"])
    if isinstance(spec, TableSpec):
        yield from _table(one, spec, regraded)
    elif isinstance(spec, FigureSpec):
        yield from _figure(one, spec)


def _table(one: Block, table: TableSpec, regraded: Mapping[Path, Regraded]) -> Iterator[Mismatch]:
    reported = [Path(name) for name in one.block["inputs"] if name.endswith("reported.csv")]
    folders = [one.path.parent / "cells" / run for run in table.specs]
    if lost := [folder for folder in folders if folder not in regraded]:
        yield Mismatch(one.path, f"its table cannot be made again: {lost[0]} cannot be graded")
        return
    runs = [(folder / "metrics.json", regraded[folder].graded) for folder in folders]
    texts = table_texts(table, runs, reported[0] if reported else None)
    for form, again in zip(("tex", "csv"), texts, strict=True):
        path = one.path.with_name(f"{table.name}.{form}")
        found = path.read_text(encoding="utf-8")
        if found != again:
            yield Mismatch(path, f"is not what the predictions give: {_first_difference(found, again)}")


def _figure(one: Block, figure: FigureSpec) -> Iterator[Mismatch]:
    for run, wanted in figure.specs.items():
        path = one.path.parent / "cells" / run / "train.json"
        if (found := read_json(path)["provenance"]["spec"]) != wanted:
            yield Mismatch(path, f"is of spec {found}, {one.path.name} shows {wanted}")


def _first_difference(found: str, again: str) -> str:
    ours, theirs = found.splitlines(), again.splitlines()
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if one != other:
            start = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
            cut = slice(max(0, start - 20), start + 20)
            return f"line {number} has '{one[cut]}', should have '{other[cut]}'"
    return f"{len(ours)} lines, should be {len(theirs)}"


def _published(results: Path, scales: list[Path]) -> Iterator[Mismatch]:
    """The copies at the top, each of the one scale that ran last."""
    for path in sorted(path for pattern in _PUBLISHED for path in results.glob(pattern)):
        originals = [scale / path.name for scale in scales if (scale / path.name).exists()]
        if not originals:
            yield Mismatch(path, "no scale has made it")
        elif path.read_bytes() not in [original.read_bytes() for original in originals]:
            yield Mismatch(path, f"is no copy of {' or '.join(map(str, originals))}")
