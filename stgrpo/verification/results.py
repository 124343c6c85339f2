"""All of a results folder: the chain of hashes, every run, every table made again, and the copies at the top."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stgrpo.errors import UserError
from stgrpo.verification.blocks import (
    check_chain,
    check_data,
    check_known,
    fingerprint,
    is_block,
    read_blocks,
)
from stgrpo.verification.made import check_made, check_published, is_table
from stgrpo.verification.places import Blocks, check_place
from stgrpo.verification.runs import GradedAgain, check_evaluation, check_run, check_scores, regrade, run_folders
from stgrpo.verification.trainings import check_copies, check_training
from stgrpo.verification.tree import Hashes, Mismatch, files_below, guarded


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what does not hold.

    Attributes:
        fingerprint: of all provenance; of results that were altered and made to match again, it is another one.
    """

    files: int
    runs: int
    tables: int
    fingerprint: str
    mismatches: tuple[Mismatch, ...]


def verify(results: Path) -> Verified:
    """Check every scale's results.

    Raises:
        UserError: there are none.
    """
    scales = sorted({folder.parent for folder in results.glob("*/cells") if folder.is_dir()})
    if not scales:
        raise UserError(f"{results}: holds no scale's cells; make some (snakemake), or name another folder")
    mismatches, files, runs, tables = list(guarded(results, check_published(results, scales))), 0, 0, 0
    said: list[Path] = []
    for scale in scales:
        below, refused = files_below(scale)
        found, broken = read_blocks(scale, below)
        blocks, graded_again = {one.place: one for one in found}, dict[Path, GradedAgain]()
        mismatches += [*refused, *broken, *guarded(scale, _scale(scale, below, blocks, graded_again))]
        said += filter(is_block, below)
        files += len({path for one in found for path in one.made})
        runs += len(graded_again)
        tables += sum(map(is_table, found))
    return Verified(files, runs, tables, fingerprint(results, said), tuple(dict.fromkeys(mismatches)))


def _scale(scale: Path, below: list[Path], blocks: Blocks, graded_again: dict[Path, GradedAgain]) -> Iterator[Mismatch]:
    """All of one scale; one odd file does not end the check of the others."""
    # Of a folder that is a link, or is called ".", the neighbours are those of the name.
    root, hashes = Path(os.path.abspath(scale)).parent.parent, Hashes()  # noqa: PTH100 (resolve would follow the link)
    for one in blocks.values():
        yield from guarded(one.path, check_chain(one, root, hashes))
        yield from guarded(one.path, check_place(one, blocks))
    yield from guarded(scale, check_known(scale, below, blocks.values()))
    yield from guarded(scale, check_data(scale, root, blocks.values()))
    trainings = [one for place, one in blocks.items() if place[0] == "cells" and place[3:] == ("train.json",)]
    for one in trainings:
        yield from guarded(one.path, check_training(one, blocks))
    yield from check_copies(trainings)
    for one in (one for place, one in blocks.items() if place[0] == "cells" and place[3:4] == ("eval",)):
        yield from guarded(one.path, check_evaluation(one, blocks))
    for folder in run_folders(scale):
        yield from guarded(folder, check_run(folder, blocks))
        if (folder / "metrics.json").exists():
            yield from guarded(folder, _grade_again(folder, blocks, graded_again))
    for one in (one for place, one in blocks.items() if len(place) == 1):
        yield from guarded(one.path, check_made(one, blocks, graded_again, root))


def _grade_again(folder: Path, blocks: Blocks, graded_again: dict[Path, GradedAgain]) -> Iterator[Mismatch]:
    """Scores from the predictions, kept for the tables."""
    graded_again[folder] = regrade(folder, blocks)
    yield from check_scores(folder, graded_again[folder])
