"""Turn a fetched corpus or benchmark into questions; a row that cannot be used is set aside with its reason.

Writes: OUT (one question a line), its provenance beside it, and ASIDE (a CSV for people, one row set aside a line).
"""

import csv
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from stgrpo.benchmarks import perceptiontest, read_questions
from stgrpo.commands import add_spec, inherited, origin_of
from stgrpo.data import video_r1
from stgrpo.errors import UserError, VideoError
from stgrpo.files import inert_cell, replacing, sha256, write_json, write_records
from stgrpo.progress import Progress
from stgrpo.provenance import provenance
from stgrpo.records import Question, SetAside
from stgrpo.rules import FrameRule
from stgrpo.specs import PrepareSpec
from stgrpo.state import only_writer
from stgrpo.video import FrameReader


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument("--source", type=Path, required=True, help="folder of the fetched source")
    parser.add_argument(
        "--apart-from", type=Path, metavar="FOLDER", help="rows of PerceptionTest, whose videos no question may show"
    )
    parser.add_argument("--out", type=Path, required=True, help="questions to write")
    parser.add_argument("--aside", type=Path, required=True, help="rows set aside to write")


def run(args: Namespace) -> None:
    """Read, check that every video decodes, write."""
    with only_writer(args.out):
        prepare(PrepareSpec.parse(args.spec), args.source, args.out, args.aside, args.apart_from)


def prepare(spec: PrepareSpec, source: Path, out: Path, set_aside: Path, apart_from: Path | None = None) -> None:
    """See the module's text.

    Raises:
        UserError: the source is unreadable, or nothing of it can be used.
    """
    if spec.draw is not None:
        examined = perceptiontest.video_names(apart_from) if apart_from else frozenset()
        with FrameReader() as reader, Progress(spec.draw.count, "question") as progress:
            check = _checked(reader, spec.frames, progress, source, examined)
            questions, aside = video_r1.read_questions(source, spec.draw, check)
    else:
        questions, aside = _benchmark(spec, source)
    _write_aside(set_aside, aside)
    if not aside and not questions:
        raise UserError(f"{source}: its files hold no row; fetch the source again (snakemake TARGET -R fetch)")
    if not questions:
        raise UserError(
            f"{source}: no usable question among {len(aside)} rows, the first because: {aside[0].reason}; all reasons "
            f"stand in {set_aside}; fetch the source again (snakemake TARGET -R fetch)"
        )
    write_records(out, questions)
    data, listings = inherited(*(folder.with_name(f"{folder.name}.json") for folder in (source, apart_from) if folder))
    made = {path.name: sha256(path) for path in (out, set_aside)}
    origin = provenance(spec.hash(), data=data, inputs=listings, outputs=made, resolved=spec.model_dump(mode="json"))
    write_json(origin_of(out), origin)
    print(f"{out}: {len(questions)} questions, {len(aside)} rows set aside ({set_aside.name})")


def _benchmark(spec: PrepareSpec, source: Path) -> tuple[list[Question], list[SetAside]]:
    rows = list(read_questions(spec.name, source))
    broken: dict[str, str | None] = {}
    with FrameReader() as reader, Progress(len(rows), "row") as progress:
        for row in rows:
            if isinstance(row, Question) and row.video not in broken:
                broken[row.video] = _flaw(reader, row.video, spec.frames)
            progress.update()
    questions, aside = [], []
    for row in rows:
        if isinstance(row, Question) and (reason := broken[row.video]) is not None:
            row = SetAside(row.id, reason)
        (questions if isinstance(row, Question) else aside).append(row)
    return questions, aside


def _flaw(reader: FrameReader, video: str, rule: FrameRule) -> str | None:
    try:
        reader.read(video, rule)
    except VideoError as error:
        return str(error)
    return None


def _checked(
    reader: FrameReader, rule: FrameRule, progress: Progress, source: Path, examined: frozenset[str]
) -> Callable[[str], None]:
    """A check that raises VideoError, and counts the videos that pass."""

    def check(video: str) -> None:
        if video_r1.of_perceptiontest(Path(video).relative_to(source)) in examined:
            raise VideoError(f"{video}: also in PerceptionTest's validation set, which the policy is examined on")
        reader.read(video, rule)
        progress.update()

    return check


def _write_aside(path: Path, aside: list[SetAside]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("row", "reason"))
        writer.writerows((inert_cell(row.row), inert_cell(row.reason)) for row in aside)
