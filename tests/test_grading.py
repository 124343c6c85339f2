"""Predictions -> scores: averages, standard errors and what is refused."""

import math
from dataclasses import replace

import pytest

from stgrpo.benchmarks import BENCHMARKS
from stgrpo.benchmarks.grading import grade, scores
from stgrpo.errors import UserError
from stgrpo.records import Graded, Prediction, Question, Score

TODAY = frozenset({"today"})


def scored(questions: dict[str, list[Question]], predictions: list[Prediction], specs: frozenset = TODAY) -> Score:
    """The score of one benchmark."""
    (score,) = scores(questions, predictions, grade(questions, predictions, specs))
    return score


def videomme(id: str, duration: str) -> Question:
    return Question(id, f"{id}.mp4", "?", ("A. a", "B. b"), "multiple choice", "A", "videomme", {"duration": duration})


ASKED = {"videomme": [videomme(f"q{i}", "short" if i < 2 else "long") for i in range(5)]}


def answered(*answers: str | None, spec: str = "today", benchmark: str = "videomme") -> list[Prediction]:
    texts = ["no tag" if a is None else f"<answer> {a} </answer>" for a in answers]
    return [Prediction(benchmark, f"q{i}", text, spec) for i, text in enumerate(texts)]


def test_a_micro_average_with_its_error_its_parts_and_what_was_not_parsed():
    """Right are both of the short and one of three long: 3 of 5, and 100 * sqrt(0.6 * 0.4 / 4) = 24.4949.

    Student's quantile at 4 degrees is 2.776445, so the interval would leave 0 to 100.
    """
    score = scored(ASKED, answered("A", "A", "A", "B", None))
    assert score.to_row() == {
        "benchmark": "videomme",
        "value": pytest.approx(60.0),
        "standard_error": pytest.approx(24.4949, abs=1e-4),
        "low": 0.0,
        "high": 100.0,
        "n": 5,
        "videos": 5,
        "unparsed": 1,
        "parts": {"short": 100.0, "long": pytest.approx(100 / 3)},
    }


def test_four_answers_of_which_three_are_right():
    """The worked example of lmms-eval's rule: A, A, C, D for A, B, C, D are 75 percent."""
    questions = [
        Question(f"q{i}", "v", "?", (), "multiple choice", letter, "s", {"duration": "short"})
        for i, letter in enumerate("ABCD")
    ]
    score = scored({"videomme": questions}, answered(*"AACD"))
    assert score.value == 75.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>B</think><answer>A</answer>", 100.0),
        ("<think>B</think>\nA.", 100.0),
        ("<think>A</think>\nB", 0.0),
        ("The answer is A", 100.0),
        ("<answer></answer> A", 0.0),
    ],
)
def test_without_a_tag_the_text_after_the_thinking_is_scored(text: str, value: float):
    score = scored({"videomme": [videomme("q0", "short")]}, [Prediction("videomme", "q0", text, "today")])
    assert (score.value, score.unparsed) == (value, int("<answer>" not in text))


def test_the_order_of_predictions_is_no_matter():
    predictions = answered("A", "B", "A", "B", None)
    assert grade(ASKED, predictions[::-1], TODAY) == grade(ASKED, predictions, TODAY)


@pytest.mark.parametrize("answer", ["A", "B"])
def test_all_or_none_right_says_nothing_of_other_videos(answer: str):
    score = scored(ASKED, answered(*[answer] * 5))
    assert score.value == (100.0 if answer == "A" else 0.0)
    assert (score.standard_error, score.low, score.high) == (None, None, None)


def test_the_standard_error_of_a_real_size():
    """2,700 questions of VideoMME, half of them right: 50 / sqrt(2699) = 0.9624, however the durations differ."""
    questions = {"videomme": [videomme(f"q{i}", ("short", "medium", "long")[i // 900]) for i in range(2700)]}
    score = scored(questions, answered(*["A"] * 1350, *["B"] * 1350))
    assert score.standard_error == pytest.approx(0.9624, abs=1e-4)
    assert score.parts == {"short": 100.0, "medium": 50.0, "long": 0.0}


VSI = [  # type, truth, answer, credit: the worked example of lmms-eval's rule
    ("object_rel_direction_easy", "A", "A", 1.0),
    ("object_rel_direction_easy", "A", "B", 0.0),
    ("object_rel_direction_medium", "A", "A", 1.0),
    ("object_rel_direction_hard", "A", "B", 0.0),
    ("object_rel_distance", "A", "A", 1.0),
    ("object_rel_distance", "A", "B", 0.0),
    ("route_planning", "A", "A", 1.0),
    ("obj_appearance_order", "A", "B", 0.0),
    ("object_abs_distance", "10", "7", 0.5),
    ("object_counting", "4", "4", 1.0),
    ("object_counting", "4", "3", 0.6),
    ("object_size_estimation", "10", "11", 0.9),
    ("room_size_estimation", "20", "28.4", 0.2),
]


def vsibench() -> list[Question]:
    made = []
    for i, (kind, truth, *_) in enumerate(VSI):
        choice = truth == "A"
        form, options = ("multiple choice", ("A. a", "B. b")) if choice else ("regression", ())
        made.append(Question(f"q{i}", f"{i}.mp4", "?", options, form, truth, "vsibench", {"type": kind}))
    return made


def test_vsibench_is_the_mean_of_eight_tasks():
    """Tasks 0.5 (of 0.5, 1 and 0), 0.5, 1, 0, 0.5, 0.8, 0.9, 0.2: 4.4 / 8; seven types have one video."""
    score = scored({"vsibench": vsibench()}, answered(*[row[2] for row in VSI], benchmark="vsibench"))
    assert score.value == pytest.approx(55.0)
    assert score.standard_error is None
    assert score.parts["object_rel_direction_easy"] == 50.0
    assert score.parts["object_counting"] == pytest.approx(80.0)
    assert (score.n, len(score.parts)) == (13, 10)


def test_vsibench_with_two_videos_of_each_type():
    """Each type has a right and a wrong answer, both 1/2 from their mean: half of the squares of what the types weigh.

    Three levels of 1/24 and seven types of 1/8: (3 / 576 + 7 / 64) / 8, times 2 / 1 videos: 0.169251².
    """
    firsts = list({q.tags["type"]: q for q in vsibench()}.values())
    asked = [replace(q, id=f"q{i}", video=f"{i}.mp4") for i, q in enumerate(firsts * 2)]
    said = [*(q.answer for q in firsts), *["Z"] * len(firsts)]
    score = scored({"vsibench": asked}, answered(*said, benchmark="vsibench"))
    assert (score.value, score.n, score.videos) == (pytest.approx(50.0), 20, 20)
    assert score.standard_error == pytest.approx(16.9251, abs=1e-4)


def test_vsibench_without_one_of_its_types_is_an_error():
    sizes = {row[0]: 1 for row in VSI}
    del sizes["route_planning"]
    with pytest.raises(UserError) as caught:
        BENCHMARKS["vsibench"].weights(sizes)
    assert str(caught.value) == (
        "vsibench: no question of type route_planning, and the score is a mean over all types; "
        "look at the rows set aside and prepare again (snakemake TARGET -R prepare)"
    )


def tempcompass(id: str, config: str) -> Question:
    kind, options, answer = {
        "yes_no": ("yes or no", (), "yes"),
        "caption_matching": ("caption matching", ("Option 1: a", "Option 2: b"), "Option 1: a"),
    }.get(config, ("multiple choice", ("A. a", "B. b"), "A"))
    return Question(id, f"{id}.mp4", "?", options, kind, answer, "tempcompass", {"configuration": config})


def test_tempcompass_reports_captioning_but_does_not_count_it():
    """Right are 1 of 1, 0 of 1 and 1 of 2 that count: 50 percent of 4, and 100 * sqrt(0.25 / 3) = 28.8675."""
    configs = ["multi-choice", "yes_no", "caption_matching", "caption_matching", "captioning"]
    questions = {"tempcompass": [tempcompass(f"q{i}", config) for i, config in enumerate(configs)]}
    score = scored(questions, answered("A", "no", "1", "2", None, benchmark="tempcompass"))
    parts = {"multi-choice": 100.0, "yes_no": 0.0, "caption_matching": 50.0, "captioning": 0.0}
    assert (score.value, score.standard_error) == (pytest.approx(50.0), pytest.approx(28.8675, abs=1e-4))
    assert (score.n, score.unparsed, score.parts) == (4, 0, parts)


def test_tempcompass_of_captioning_alone_is_an_error():
    with pytest.raises(UserError) as caught:
        BENCHMARKS["tempcompass"].weights({"captioning": 3})
    assert str(caught.value) == (
        "tempcompass: no question of multi-choice, yes_no, caption_matching; "
        "look at the rows set aside and prepare again (snakemake TARGET -R prepare)"
    )


SIZES = {
    "videomme": {"short": 900, "medium": 900, "long": 900},
    "vsibench": {row[0]: 100 for row in VSI},
    "perceptiontest": {"memory": 3, "physics": 7},
    "tempcompass": {"multi-choice": 1580, "yes_no": 2453, "caption_matching": 1503, "captioning": 2004},
    "videommmu": {"Adaptation": 300, "Comprehension": 300, "Perception": 300},
    "mmvu": {"Science": 213, "Engineering": 199, "Healthcare": 121, "Humanities_and_Social_Science": 92},
}


@pytest.mark.parametrize(("name", "sizes"), SIZES.items(), ids=SIZES)
def test_weights_sum_to_one(name: str, sizes: dict[str, int]):
    weights = BENCHMARKS[name].weights(sizes)
    assert set(weights) == set(sizes)
    assert math.fsum(weights.values()) == pytest.approx(1.0)


def test_a_weight_is_the_share_of_the_questions_or_of_the_tasks():
    assert BENCHMARKS["mmvu"].weights({"Science": 3, "Engineering": 1}) == {"Science": 0.75, "Engineering": 0.25}
    weights = BENCHMARKS["vsibench"].weights(SIZES["vsibench"])
    assert (weights["route_planning"], weights["object_rel_direction_easy"]) == (1 / 8, 1 / 24)


def test_every_question_has_its_credit_and_its_share():
    """In the order of the questions; all of one sample where they weigh the same."""
    assert grade(ASKED, answered("A", "B", "A", "B", None)[::-1], TODAY) == [
        Graded("videomme", f"q{i}", f"q{i}.mp4", "", pytest.approx(0.2), credit, answer)
        for i, (credit, answer) in enumerate([(1.0, "A"), (0.0, "B"), (1.0, "A"), (0.0, "B"), (0.0, "no tag")])
    ]


def test_parts_that_weigh_otherwise_are_samples_of_their_own():
    graded = grade({"vsibench": vsibench()}, answered(*[row[2] for row in VSI], benchmark="vsibench"), TODAY)
    assert [g.stratum for g in graded] == [row[0] for row in VSI]
    assert [g.weight for g in graded[:3]] == [1 / 48, 1 / 48, 1 / 24]
    assert [g.credit for g in graded] == pytest.approx([row[3] for row in VSI])
    assert math.fsum(g.weight * g.credit for g in graded) == pytest.approx(0.55)


def test_what_is_reported_but_not_counted_weighs_nothing():
    questions = {"tempcompass": [tempcompass("q0", "yes_no"), tempcompass("q1", "captioning")]}
    graded = grade(questions, answered("yes", "A", benchmark="tempcompass"), TODAY)
    assert [(g.stratum, g.weight, g.credit) for g in graded] == [("", 1.0, 1.0), ("", 0.0, 1.0)]


def test_one_video_has_a_score_without_an_error():
    """Its questions say nothing of other videos."""
    questions = {
        "videomme": [
            Question(f"q{i}", "v", "?", ("A. a",), "multiple choice", "A", "s", {"duration": "short"}) for i in range(2)
        ]
    }
    score = scored(questions, answered("A", None))
    assert (score.value, score.standard_error, score.low, score.high, score.videos) == (50.0, None, None, None, 1)


def test_predictions_of_another_spec_are_refused():
    predictions = answered("A", "A", "A", "A") + answered(*["A"] * 5, spec="yesterday")[4:]
    with pytest.raises(UserError) as caught:
        grade(ASKED, predictions, TODAY)
    assert str(caught.value) == (
        "predictions were made by spec yesterday, the configuration asks for today; "
        "evaluate again (snakemake TARGET -R evaluate)"
    )


def test_several_parts_have_several_specs():
    predictions = answered("A", "A", "A", "A") + answered(*["A"] * 5, spec="part two")[4:]
    score = scored(ASKED, predictions, frozenset({"today", "part two"}))
    assert score.n == 5


FIVE = answered("A", "A", "A", "A", "A")
MISMATCH = [
    (FIVE[:4], "4 predictions for 5 questions, 4 of them different", "one is missing"),
    (FIVE + FIVE[:1], "6 predictions for 5 questions, 5 of them different", "one is doubled"),
    (FIVE[:4] + FIVE[:1], "5 predictions for 5 questions, 4 of them different", "one is doubled and one missing"),
    (answered(*["A"] * 6)[1:], "5 predictions for 5 questions, 5 of them different", "one is of another question"),
    ([], "0 predictions for 5 questions, 0 of them different", "none"),
]


@pytest.mark.parametrize(("predictions", "what", "reason"), MISMATCH, ids=[case[2] for case in MISMATCH])
def test_predictions_must_match_the_questions_one_to_one(predictions: list[Prediction], what: str, reason: str):
    with pytest.raises(UserError) as caught:
        grade(ASKED, predictions, TODAY)
    assert str(caught.value) == f"videomme: {what}; evaluate again (snakemake TARGET -R evaluate)", reason


def test_predictions_of_a_benchmark_that_was_not_asked_are_refused():
    with pytest.raises(UserError, match="mmvu"):
        grade(ASKED, FIVE + answered("A", benchmark="mmvu"), TODAY)
