"""Score the videos of many questions: a video is decoded and embedded once, and decoded ahead of its turn.

Videos go through the tower a few at a time, always the same ones together: a batch's size decides how sums are rounded,
and how many processes share the work must not.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch

from stgrpo.importance.scorer import PASS, Scorer, load_scorer, score_videos
from stgrpo.records import FrameScores, Question
from stgrpo.rules import FrameRule
from stgrpo.video import read_ahead, usable

Batch = list[list[Question]]  # some videos' questions


@dataclass(frozen=True)
class Machine:
    """What a job computes with."""

    shards: int  # processes that share the work: one a GPU, or one a thread
    decoders: int  # children that decode for one of them
    cuda: bool

    def device(self, shard: int) -> str:
        """Torch's name of where a shard computes."""
        return f"cuda:{shard}" if self.cuda else "cpu"


def machine(gpus: int, threads: int) -> Machine:
    """Use `gpus` of the GPUs that are there, or `threads` of the CPUs where there are none.

    A CPU's shards compute with one thread each, which is faster than one process with several.
    """
    if not torch.cuda.is_available():
        return Machine(threads, 1, cuda=False)
    shards = min(torch.cuda.device_count(), max(1, gpus))
    return Machine(shards, max(1, threads // shards), cuda=True)


def batches(questions: Sequence[Question], rule: FrameRule) -> list[Batch]:
    """All questions by video, and as many videos in a batch as fill a pass through the tower with their frames."""
    ordered = sorted(questions, key=lambda question: question.video)
    videos = [list(group) for _, group in groupby(ordered, key=lambda question: question.video)]
    size = max(1, PASS // rule.max_frames)
    return [videos[start : start + size] for start in range(0, len(videos), size)]


def score_shard(
    shard: int, shards: int, work: Sequence[Batch], rule: FrameRule, model: Path, computing: Machine
) -> Iterator[list[FrameScores]]:
    """The scores of every `shards`-th batch from number `shard` on, one batch at a time.

    Raises:
        VideoError: a video does not decode.
    """
    torch.set_num_threads(1)
    yield from score_batches(load_scorer(model, computing.device(shard)), work[shard::shards], rule, computing.decoders)


def score_batches(scorer: Scorer, work: Sequence[Batch], rule: FrameRule, decoders: int) -> Iterator[list[FrameScores]]:
    """The scores of each batch in turn, while `decoders` children decode the next ones.

    Raises:
        VideoError: a video does not decode.
    """
    videos = [group[0].video for batch in work for group in batch]
    with closing(read_ahead(videos, rule, decoders)) as clips:
        for batch in work:
            frames = [usable(next(clips)) for _ in batch]
            scores = score_videos(scorer, frames, [[question.text for question in group] for group in batch])
            yield [
                FrameScores(question.id, tuple(row))
                for group, rows in zip(batch, scores, strict=True)
                for question, row in zip(group, rows, strict=True)
            ]
