"""Score every candidate frame of the training questions' videos (paper section 4); a video is embedded once.

Writes: OUT, a parquet file with one row a question: id and the list of cosines; its provenance beside it.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.commands import (
    MADE_BY,
    add_spec,
    add_threads,
    device_name,
    importing,
    inherited,
    model_files,
    origin_of,
    refuse_lost_gpus,
)
from stgrpo.files import hashes, read_records, replacing, sha256, write_json
from stgrpo.progress import Progress
from stgrpo.provenance import provenance
from stgrpo.records import FrameScores, Question
from stgrpo.specs import ScoreSpec
from stgrpo.state import only_writer


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    add_threads(parser)
    parser.add_argument("--gpus", type=int, default=0, help="of those that are there, used by a process each")
    parser.add_argument("--questions", type=Path, required=True, help="training questions")
    parser.add_argument("--scorer", type=Path, required=True, help="folder of a LLaVA-OneVision")
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")


def run(args: Namespace) -> None:
    """Score and write."""
    spec = ScoreSpec.parse(args.spec)
    with only_writer(args.out):
        _score(spec, args)


def _score(spec: ScoreSpec, args: Namespace) -> None:
    with importing():
        import pandas as pd

        from stgrpo.importance.scoring import batches, machine, score_shard
        from stgrpo.importance.shards import in_shards

    refuse_lost_gpus()
    work = batches(read_records(args.questions, Question), spec.frames)
    computing = machine(args.gpus, args.threads)
    shards = min(computing.shards, len(work))
    found: list[FrameScores] = []
    with Progress(sum(len(group) for batch in work for group in batch), "question") as progress:
        for scores in in_shards(score_shard, shards, (work, spec.frames, args.scorer, computing)):
            found += scores
            progress.update(len(scores))
    with replacing(args.out) as temporary:
        pd.DataFrame([scored.to_row() for scored in found]).to_parquet(temporary, index=False)
    data, origins = inherited(origin_of(args.questions), args.scorer / MADE_BY)
    origin = provenance(
        spec.hash(),
        device=device_name(),
        data=data,
        inputs=hashes([args.questions, *model_files(args.scorer)]) | origins,
        outputs={args.out.name: sha256(args.out)},
        resolved=spec.model_dump(mode="json"),
    )
    write_json(origin_of(args.out), origin)
    print(f"{args.out}: {len(found)} questions scored")
