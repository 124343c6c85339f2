"""An evaluation that was interrupted is the one that was not, pass by pass."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import OWN_SIZE

from stgrpo.benchmarks import answering
from stgrpo.errors import VideoError
from stgrpo.policy.model import load_policy
from stgrpo.records import Question
from stgrpo.specs import EvalSpec

ROWS = 5


@pytest.mark.parametrize(
    ("kept", "asked"),
    [(0, [5, 5, 2]), (7, [5, 2]), (10, [2]), (12, [])],
    ids=["nothing", "a part of a pass", "whole passes", "everything"],
)
def test_it_goes_on_after_its_last_whole_pass(
    tmp_path: Path, policy_path: Path, questions: list[Question], monkeypatch, kept: int, asked: list[int]
):
    spec = EvalSpec(policy="random", prompt="{question}", max_tokens=3, frames=OWN_SIZE, benchmarks={})
    policy, stock, sizes = load_policy(policy_path), answering._answer, []
    pairs = [("videomme", question) for question in questions]
    whole = tmp_path / "whole.jsonl"
    expected = answering.answer_all(spec, policy, pairs, whole, ROWS, decoders=1)

    def noted(spec, policy, batch, clips):
        sizes.append(len(batch))
        return stock(spec, policy, batch, clips)

    monkeypatch.setattr(answering, "_answer", noted)
    cut = tmp_path / "cut.jsonl"
    half = '{"benchmark": "vid' if kept < len(questions) else ""
    cut.write_text("".join(whole.read_text().splitlines(keepends=True)[:kept]) + half)
    assert answering.answer_all(spec, policy, pairs, cut, ROWS, decoders=1) == expected
    assert sizes == asked
    assert cut.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("rows", [3, 5, 64])
def test_it_goes_on_with_passes_of_another_size(
    tmp_path: Path, policy_path: Path, questions: list[Question], rows: int
):
    """Which is what one sets after memory did not suffice."""
    spec = EvalSpec(policy="random", prompt="{question}", max_tokens=6, frames=OWN_SIZE, benchmarks={})
    policy, cut = load_policy(policy_path), tmp_path / "cut.jsonl"
    asked = [("mmvu", replace(q, id=f"{q.id}/{i}", text=f"{q.text} {i}")) for i in range(4) for q in questions[:3]]
    expected = answering.answer_all(spec, policy, asked, tmp_path / "whole.jsonl", ROWS, decoders=1)
    cut.write_text("".join((tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)[:9]))
    assert answering.answer_all(spec, policy, asked, cut, rows, decoders=1) == expected


def test_a_broken_video_stops_it_after_the_passes_before(tmp_path: Path, policy_path: Path, questions: list[Question]):
    spec = EvalSpec(policy="random", prompt="{question}", max_tokens=3, frames=OWN_SIZE, benchmarks={})
    policy, history, video = load_policy(policy_path), tmp_path / "history.jsonl", tmp_path / "broken.mp4"
    asked = [("mmvu", replace(q, text="What is it?", options=())) for q in questions]
    expected = answering.answer_all(spec, policy, asked, tmp_path / "whole.jsonl", ROWS, decoders=1)
    asked[7] = ("mmvu", replace(asked[7][1], video=str(video)))
    video.write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"broken\.mp4: does not decode"):
        answering.answer_all(spec, policy, asked, history, ROWS, decoders=1)
    assert len(history.read_text().splitlines()) == ROWS
    shutil.copy(questions[7].video, video)
    assert answering.answer_all(spec, policy, asked, history, ROWS, decoders=1) == expected


def about(*videos: str, longest: str = "") -> list[tuple[str, Question]]:
    """A question about each, whose text is long for the videos that are named last."""
    return [
        ("videomme", Question(f"q{i}", video, "long " * (video in longest), ("A. x",), "", "A", ""))
        for i, video in enumerate(videos)
    ]


@pytest.mark.parametrize(
    ("videos", "passes"),
    [
        ("abc", [[0, 1, 2]]),
        ("aabbbcc", [[0, 1], [2, 3, 4], [5, 6]]),  # b does not fit beside a
        ("abcabcd", [[0, 3, 1, 4], [2, 5, 6]]),  # not side by side
        ("aaaaaab", [[0, 1, 2, 3], [4, 5, 6]]),  # more than a pass takes
        ("", []),
    ],
)
def test_a_video_s_questions_stand_in_one_pass(videos: str, passes: list[list[int]]):
    assert answering.in_passes(about(*videos), 4) == passes


def test_questions_of_like_length_stand_together_the_longest_first():
    assert answering.in_passes(about(*"abcabcd", longest="bd"), 3) == [[1, 4, 6], [0, 3], [2, 5]]
    by_its_longest = [*about("a", "b"), ("mmvu", Question("q2", "b", "long", ("A. x", "B. y"), "", "A", ""))]
    assert answering.in_passes(by_its_longest, 2) == [[1, 2], [0]]


def test_answers_come_in_the_questions_order_and_are_those_of_each_alone(
    tmp_path: Path, policy_path: Path, questions: list[Question]
):
    """Three questions about each of four videos, as far apart as they can be."""
    spec = EvalSpec(policy="random", prompt="{question}", max_tokens=6, frames=OWN_SIZE, benchmarks={})
    policy = load_policy(policy_path)
    asked = [
        ("mmvu", replace(question, id=f"{question.id}/{i}", text=f"What is {i} ?"))
        for i in range(3)
        for question in questions[:4]
    ]
    together = answering.answer_all(spec, policy, asked, tmp_path / "together.jsonl", ROWS, decoders=2)
    assert [prediction.question for prediction in together] == [question.id for _, question in asked]
    for number, pair in enumerate(asked):
        (alone,) = answering.answer_all(spec, policy, [pair], tmp_path / f"{number}.jsonl", ROWS, decoders=1)
        assert alone == together[number]
    assert len({prediction.text for prediction in together}) > 4


def test_a_video_is_encoded_once_for_all_its_questions(
    tmp_path: Path, policy_path: Path, questions: list[Question], monkeypatch
):
    spec = EvalSpec(policy="random", prompt="{question}", max_tokens=2, frames=OWN_SIZE, benchmarks={})
    policy, encoded = load_policy(policy_path), []
    stock = policy.model.model.get_video_features
    monkeypatch.setattr(
        policy.model.model,
        "get_video_features",
        lambda pixels, grids: encoded.append(len(grids)) or stock(pixels, grids),
    )
    asked = [("mmvu", replace(q, id=f"{q.id}/{i}")) for i in range(3) for q in questions[:4]]
    answering.answer_all(spec, policy, asked, tmp_path / "history.jsonl", 6, decoders=1)
    assert encoded == [2, 2]
