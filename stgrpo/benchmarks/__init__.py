"""The benchmarks: one module each, rows -> questions and answers -> credits. No judge model anywhere."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from stgrpo.benchmarks import mmvu, perceptiontest, tempcompass, videomme, videommmu, vsibench
from stgrpo.files import leaves_folder
from stgrpo.records import Question, SetAside


class Benchmark(Protocol):
    """What each module offers."""

    def read_questions(self, folder: Path) -> Iterator[Question | SetAside]:
        """Every row of the fetched source; a row that cannot be scored is set aside with its reason.

        Raises:
            UserError: the files are missing.
        """
        ...

    def credit(self, question: Question, answer: str) -> float:
        """How right an extracted answer is, in [0, 1], by the benchmark's deterministic rule."""
        ...

    def part(self, question: Question) -> str:
        """The part under which the question's credit is reported."""
        ...

    def weights(self, sizes: Mapping[str, int]) -> Mapping[str, float]:
        """What each part's mean credit weighs in the single score, by the number of its questions; sums to 1.

        Raises:
            UserError: a part is missing that the score cannot do without.
        """
        ...


BENCHMARKS: dict[str, Benchmark] = {
    "videomme": videomme,
    "vsibench": vsibench,
    "perceptiontest": perceptiontest,
    "tempcompass": tempcompass,
    "videommmu": videommmu,
    "mmvu": mmvu,
}


def read_questions(name: str, folder: Path) -> Iterator[Question | SetAside]:
    """Every row of a fetched benchmark; one that cannot be scored, or names a file elsewhere, is set aside.

    Args:
        name: of the benchmark.
        folder: where its source was fetched to.

    Raises:
        UserError: the files are missing.
    """
    for row in BENCHMARKS[name].read_questions(folder):
        if isinstance(row, Question) and leaves_folder(inside := row.video.removeprefix(f"{folder}/")):
            row = SetAside(row.id, f"video '{inside}' leads out of the benchmark")
        yield row
