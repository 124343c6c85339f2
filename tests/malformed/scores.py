"""The file of frame scores, through `train`; weights are read after it, so most cases have none."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import stgrpo.rl.train  # noqa: F401  # it and torch once, here: every case is a fork of this process
from malformed.given import FRAMES, POLICY_SPEC, drawn, questions
from malformed.harness import Case
from stgrpo.__main__ import main
from stgrpo.demo import world
from stgrpo.files import write_json, write_records
from stgrpo.rules import Training
from stgrpo.specs import TrainSpec

_IDS = [question.id for question in questions(4)]
_GOOD = [[0.5] * world.FRAMES] * len(_IDS)


def _train(folder: Path) -> int:
    """`train` on the four questions, with the scores that are there."""
    write_records(folder / "train.jsonl", questions(4))
    policy = folder / "policy"
    policy.mkdir(exist_ok=True)
    if not (policy / "model.safetensors").exists():
        (policy / "model.safetensors").write_bytes(b"never read")
    write_json(policy / "made_by.json", {"provenance": {"spec": POLICY_SPEC}})
    values = {
        "policy": f"warm@{POLICY_SPEC}",
        "questions": "train@q",
        "scores": "scores@s",
        "prompt": "{question}",
        "seed": 0,
        "algorithm": "grpo",
        "grouping": "importance+spatial",
        "variants": 2,
        "generations": 2,
        "steps": 1,
        "training": Training(answers_per_step=4, max_tokens=4, frames=FRAMES, precision="fp32"),
    }
    words = ["train", "--spec", TrainSpec.model_validate(values).canonical(), "--questions", "train.jsonl"]
    words += ["--scores", "scores.parquet", "--policy", "policy", "--micro-rows", "4", "--save-steps", "1"]
    return main([*words, "--state", "state", "--out", "out"])


def _table(change: Callable[[pa.Table], pa.Table] = lambda table: table) -> bytes:
    """The file that would be right, or another table in its place."""
    sink = pa.BufferOutputStream()
    pq.write_table(change(pa.table({"question": _IDS, "scores": _GOOD})), sink)
    return sink.getvalue().to_pybytes()


def _with(content: bytes) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        (folder / "scores.parquet").write_bytes(content)
        return _train(folder)

    return run


def _column(name: str, values: list[Any]) -> Callable[[Path], int]:
    """A column with other values."""
    return _with(_table(lambda table: table.set_column(table.column_names.index(name), name, pa.array(values))))


def _second(value: Any) -> Callable[[Path], int]:
    """Other scores for the second question."""
    return _column("scores", [_GOOD[0], value, *_GOOD[2:]])


def _one(value: float | None) -> Callable[[Path], int]:
    """One other score, the third of the second question."""
    return _second([0.5, 0.5, value, *[0.5] * (world.FRAMES - 3)])


def _folder(folder: Path) -> int:
    (folder / "scores.parquet").mkdir()
    return _train(folder)


def _no_dictionary() -> bytes:
    """A byte of the first page altered, the footer whole."""
    whole = bytearray(_table())
    whole[8:24] = bytes(16)
    return bytes(whole)


def _frames(folder: Path) -> int:
    """One score too few for the frames that each video has, with a policy that is read."""
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    from stgrpo.demo.policy import make_policy

    disable_progress_bar()  # bars and warnings stand on standard error, too
    set_verbosity_error()
    policy = make_policy(seed=0)
    policy.model.save_pretrained(folder / "policy")
    policy.tokenizer.save_pretrained(folder / "policy")
    for number in range(4):
        (folder / f"{number}.mp4").write_bytes(drawn(56, 56, frames=world.FRAMES * 2, fps=2))
    return _with(_table(lambda table: table.set_column(1, "scores", pa.array([row[:-1] for row in _GOOD]))))(folder)


def _no_training(folder: Path) -> None:
    assert not (folder / "out/train.json").exists() and not (folder / "out/model").exists()


_CASES = [
    ("no file", _train),
    ("a folder", _folder),
    ("an empty file", _with(b"")),
    ("a text file", _with(b"question,scores\nmmvu-0,0.5\n")),
    ("cut at half", _with(_table()[: len(_table()) // 2])),
    ("the end of another file", _with(b"PAR1" + b"\xff" * 100 + b"PAR1")),
    ("zeros in a page", _with(_no_dictionary())),
    ("no column of scores", _with(_table(lambda table: table.drop_columns(["scores"])))),
    ("no column of questions", _with(_table(lambda table: table.rename_columns(["id", "scores"])))),
    ("no rows", _with(_table(lambda table: table.slice(0, 0)))),
    ("a question missing", _with(_table(lambda table: table.slice(0, 3)))),
    ("a question twice", _column("question", [_IDS[0], _IDS[0], *_IDS[2:]])),
    ("numbers for the questions", _column("question", [0, 1, 2, 3])),
    ("other questions", _column("question", [f"other-{i}" for i in range(4)])),
    ("null for a question's scores", _second(None)),
    ("no scores of a question", _second([])),
    ("NaN", _one(float("nan"))),
    ("infinity", _one(float("-inf"))),
    ("null among the scores", _one(None)),
    ("more than a cosine can be", _one(1.5)),
    ("texts for the scores", _column("scores", [["0.5"] * world.FRAMES] * 4)),
    ("one number for a list", _column("scores", [0.5] * 4)),
    ("lists in the lists", _column("scores", [[[0.5]]] * 4)),
    ("as many as another sampling's frames", _frames),
]
_SAYS = {  # each whole line or reason; "..." is what another program or a library says
    "no file": "train: scores.parquet: no such file; make it again (snakemake scores.parquet)",
    "a folder": "train: scores.parquet: a folder, not a file; make it again (snakemake scores.parquet)",
    "an empty file": (
        "train: scores.parquet: no parquet of frame scores (...); score again (snakemake TARGET -R score)"
    ),
    "a text file": "train: scores.parquet: no parquet of frame scores (...); score again (snakemake TARGET -R score)",
    "cut at half": "train: scores.parquet: no parquet of frame scores (...); score again (snakemake TARGET -R score)",
    "the end of another file": (
        "train: scores.parquet: no parquet of frame scores (...); score again (snakemake TARGET -R score)"
    ),
    "zeros in a page": (
        "train: scores.parquet: no parquet of frame scores (...); score again (snakemake TARGET -R score)"
    ),
    "no column of scores": "train: scores.parquet: no column scores; score again (snakemake TARGET -R score)",
    "no column of questions": "train: scores.parquet: no column question; score again (snakemake TARGET -R score)",
    "no rows": (
        "train: scores.parquet: no scores for 4 of 4 questions (first: mmvu-0); score again (snakemake TARGET -R score)"
    ),
    "a question missing": (
        "train: scores.parquet: no scores for 1 of 4 questions (first: mmvu-3); score again (snakemake TARGET -R score)"
    ),
    "a question twice": (
        "train: scores.parquet: row 1: question 'mmvu-0' stands twice; score again (snakemake TARGET -R score)"
    ),
    "numbers for the questions": (
        "train: scores.parquet: no scores for 4 of 4 questions (first: mmvu-0); score again (snakemake TARGET -R score)"
    ),
    "other questions": (
        "train: scores.parquet: no scores for 4 of 4 questions (first: mmvu-0); score again (snakemake TARGET -R score)"
    ),
    "null for a question's scores": (
        "train: scores.parquet: row 1: the scores of question 'mmvu-1' are no cosines; score again "
        "(snakemake TARGET -R score)"
    ),
    "no scores of a question": (
        "train: scores.parquet: row 1: the scores of question 'mmvu-1' are no cosines; score again "
        "(snakemake TARGET -R score)"
    ),
    "NaN": (
        "train: scores.parquet: row 1: the scores of question 'mmvu-1' are no cosines; score again "
        "(snakemake TARGET -R score)"
    ),
    "infinity": (
        "train: scores.parquet: row 1: the scores of question 'mmvu-1' are no cosines; score again "
        "(snakemake TARGET -R score)"
    ),
    "null among the scores": (
        "train: scores.parquet: row 1: the scores of question 'mmvu-1' are no cosines; score again "
        "(snakemake TARGET -R score)"
    ),
    "more than a cosine can be": (
        "train: scores.parquet: row 1: the scores of question 'mmvu-1' are no cosines; score again "
        "(snakemake TARGET -R score)"
    ),
    "texts for the scores": (
        "train: scores.parquet: row 0: the scores of question 'mmvu-0' are no cosines; score again "
        "(snakemake TARGET -R score)"
    ),
    "one number for a list": (
        "train: scores.parquet: row 0: the scores of question 'mmvu-0' are no cosines; score again "
        "(snakemake TARGET -R score)"
    ),
    "lists in the lists": (
        "train: scores.parquet: row 0: the scores of question 'mmvu-0' are no cosines; score again "
        "(snakemake TARGET -R score)"
    ),
    "as many as another sampling's frames": (
        "train: 0.mp4: 16 frames, but question 'mmvu-0' has 15 frame scores; score again (snakemake TARGET -R score)"
    ),
}


def _says(what: str) -> str:
    return re.escape(_SAYS[what]).replace(re.escape("..."), ".*")


CASES = [Case("scores", what, run, _says(what), right=_no_training) for what, run in _CASES]
