"""Rows of the six benchmarks in their sources' fields, and what may be said about each.

The rows differ in all that decides a credit: types, tracks, subjects, the number of options and the right one.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

LETTERS = "ABCDEFGHIJ"
WORDS = (
    *("red", "a dog", "kitchen", "Doppler effect", "window", "green", "sofa", "bee", "zebra", "a man", "café", "北京"),
)
SENTENCES = ("A dog runs.", "A cat runs.", "A cat sits.", "A man says: stop.", "Ein Hund läuft.", "猫が走る。")
VSI_TYPES = {  # with the number of their questions
    **{"object_rel_direction_easy": 217, "object_rel_direction_medium": 378, "object_rel_direction_hard": 373},
    **{"object_rel_distance": 710, "route_planning": 194, "obj_appearance_order": 618, "object_abs_distance": 834},
    **{"object_counting": 565, "object_size_estimation": 953, "room_size_estimation": 288},
}
TEMPCOMPASS_TASKS = {"multi-choice": 1580, "yes_no": 2453, "caption_matching": 1503}
MMVU_SUBJECTS = (
    *("Art", "Astronomy", "Basic_Medicine", "Biology", "Biomedical_Engineering", "Chemistry", "Civil_Engineering"),
    *("Clinical_Medicine", "Computer_Science", "Dentistry", "Economics", "Electrical_Engineering", "Electromagnetism"),
    *("Electronics_and_Communication", "Geography", "History", "Law", "Literature", "Management", "Materials_Science"),
    *("Mechanical_Engineering", "Mechanics", "Modern_Physics", "Neurobiology", "Pharmacy", "Preventive_Medicine"),
    "Thermodynamics",
)
MMMU_SUBJECTS = (
    "Art",
    "Art_Theory",
    "Music",
    "Accounting",
    "Manage",
    "Agriculture",
    "Psychology",
    "Public_Health",
    "Math",
)
YES_NO = {
    "yes": ("yes", "Yes", "Yes, it is.", "yes.", "yesterday"),
    "no": ("no", "No", "No, it is not.", "no.", "Nothing"),
}
TRUTHS = ("4", "42", "1200", "0.5", "-3", "3.14", "Kitchen", "Doppler effect", "dog", "b", "café", "two thirds")

NUMBERS = (
    *("0", "1", "2", "3", "4", "4.0", "4.05", "5", "-4", "0.9", "1.5", "42", "42.004", "1,200", "1200", "1.2e3", ".5"),
    *("zero", "four", "twenty-one", "hundred", "two hundred and one", "three thousand", "and", "several", "m", "rooms"),
)


@dataclass(frozen=True)
class Asked:
    """A row with what may be said about it: right, wrong, and the pieces of noise."""

    row: dict[str, Any]
    task: str
    right: Sequence[str]
    wrong: Sequence[str]
    pieces: Sequence[str]


def _choice(row: dict[str, Any], task: str, options: Sequence[str], right: int) -> Asked:
    """Whatever may be said about a question with lettered options."""
    said = [_said(letter, option) for letter, option in zip(LETTERS, options, strict=False)]
    wrong = [form for place, forms in enumerate(said) if place != right for form in forms]
    return Asked(row, task, said[right], wrong or ["none"], [form for forms in said for form in forms])


def _said(letter: str, option: str) -> list[str]:
    forms = ("{0}", "{0}", "{0}", "{0}.", "({0})", "{0})", "{0}:", "{0}. {1}", "{1}", "{2}", "{2}.", "({2})", "{3}")
    return [form.format(letter, option, letter.lower(), chr(ord(letter) + 0xFEE0)) for form in forms]


def _lettered(options: Sequence[str]) -> list[str]:
    return [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]


def _videomme(rng: random.Random, number: int) -> Asked:
    options, right = rng.sample(WORDS, 4), rng.randrange(4)
    row = {
        "video_id": f"{number // 3:03}",
        "duration": rng.choice(("short", "medium", "long")),
        "domain": rng.choice(("Knowledge", "Film & Television", "Sports Competition", "Multilingual")),
        "sub_category": rng.choice(("Astronomy", "Law", "News Report", "Basketball")),
        "url": "https://www.youtube.com/watch?v=x",
        "videoID": f"x{number // 3}",
        "question_id": f"{number // 3:03}-{number % 3 + 1}",
        "task_type": rng.choice(("Counting Problem", "OCR Problems", "Object Reasoning")),
        "question": "What is seen?",
        "options": _lettered(options),
        "answer": LETTERS[right],
    }
    return _choice(row, "", options, right)


def _vsibench(rng: random.Random, number: int) -> Asked:
    (kind,) = rng.choices(list(VSI_TYPES), list(VSI_TYPES.values()))
    row = {
        "id": number,
        "dataset": rng.choice(("arkitscenes", "scannet", "scannetpp")),
        "scene_name": f"scene{number // 10}",
        "question_type": kind,
        "question": "Which one, or how many?",
    }
    if kind.startswith(("object_rel", "route", "obj_app")):
        options = rng.sample(WORDS, 2 if kind.endswith("easy") else rng.choice((3, 4)))
        right = rng.randrange(len(options))
        return _choice(row | {"ground_truth": LETTERS[right], "options": _lettered(options)}, "", options, right)
    return _quantity(row, rng)


def _quantity(row: dict[str, Any], rng: random.Random) -> Asked:
    """A whole number of objects, or a length or area; answers near it earn a part."""
    counted = row["question_type"] == "object_counting"
    truth = str(rng.randint(1, 12) if counted else rng.choice((round(rng.uniform(0.3, 40), 1), 155)))
    near = [f"{float(truth) * rng.uniform(0.95, 1.05):.2f}" for _ in range(3)]
    far = [f"{float(truth) * rng.uniform(0.2, 1.7):.1f}" for _ in range(12)]
    return Asked(row | {"ground_truth": truth, "options": None}, "", [truth, f"{truth} m", *near], far, NUMBERS)


def _perceptiontest(rng: random.Random, number: int) -> Asked:
    options, right = rng.sample(WORDS, 3), rng.randrange(3)
    row = {
        "video_name": f"video_{number // 4}",
        "question": "What was put down last?",
        "question_id": str(number),
        "options": options,
        "answer_id": str(right),
        "area": rng.choice(("memory", "abstraction", "physics", "semantics")),
        "reasoning": rng.choice(("descriptive", "explanatory", "predictive", "counterfactual")),
        "tag": ["sequencing"],
    }
    return _choice(row, "", options, right)


def _tempcompass(rng: random.Random, number: int) -> Asked:
    (task,) = rng.choices(list(TEMPCOMPASS_TASKS), list(TEMPCOMPASS_TASKS.values()))
    dim = rng.choice(("action", "speed", "direction", "order", "attribute_change"))
    row = {"video_id": str(number // 10), "dim": dim}
    if task == "yes_no":
        truth, other = rng.sample(list(YES_NO), 2)
        pieces = [*YES_NO[truth], *YES_NO[other]]
        return Asked(row | {"question": "Is it?", "answer": truth}, task, YES_NO[truth], YES_NO[other], pieces)
    if task == "caption_matching":
        return _captions(row, rng)
    options = rng.sample(WORDS, rng.choice((2, 3, 4)))
    right, lines = rng.randrange(len(options)), _lettered(options)
    return _choice(row | {"question": "\n".join(("What?", *lines)), "answer": lines[right]}, task, options, right)


def _captions(row: dict[str, Any], rng: random.Random) -> Asked:
    options = rng.sample(SENTENCES, rng.choice((2, 3)))
    right = rng.randrange(len(options))
    word, marks = rng.choice((("Option", "123"), ("Sentence", "ABC"), ("Caption", "ABC")))
    labels = [f"{word} {mark}" for mark, _ in zip(marks, options, strict=False)]
    lines = [f"{label}: {sentence}" for label, sentence in zip(labels, options, strict=True)]
    said = [
        (line, label, f"{label}.", mark, f"{mark}.", f"({mark}) {sentence}", sentence, f"{mark}: {sentence}")
        for line, label, mark, sentence in zip(lines, labels, marks, options, strict=False)
    ]
    wrong = [form for place, forms in enumerate(said) if place != right for form in forms]
    row |= {"question": "\n".join(("Which one fits?", *lines)), "answer": lines[right]}
    return Asked(row, "caption_matching", said[right], wrong, [*said[right], *wrong, word, word.lower(), *marks])


def _videommmu(rng: random.Random, number: int) -> Asked:
    task = ("Adaptation", "Comprehension", "Perception")[number % 3]
    row = {"id": f"{rng.choice(('dev', 'validation', 'new'))}_{rng.choice(MMMU_SUBJECTS)}_{number}", "question": "Why?"}
    if task == "Adaptation" and rng.random() < 0.4:
        truth, other = rng.sample(TRUTHS, 2)
        right = (truth, truth, truth.upper(), f"{truth} m", f"{truth}.", f"It is {truth}")
        row |= {"options": [], "answer": truth, "question_type": "open"}
        return Asked(row, task, right, (other, f"{other} m", *TRUTHS), (*NUMBERS, *WORDS, *TRUTHS))
    options = rng.sample(WORDS, rng.choice((4, 7, 10)))
    right = rng.randrange(len(options))
    kind = "perception" if task == "Perception" and rng.random() < 0.1 else "multiple-choice"
    have = _lettered(options) if rng.random() < 0.3 else options
    return _choice(row | {"options": have, "answer": LETTERS[right], "question_type": kind}, task, options, right)


def _mmvu(rng: random.Random, number: int) -> Asked:
    options, right = rng.sample(WORDS, 5), rng.randrange(5)
    row = {
        "id": f"validation_{number}",
        "video_path": f"videos/{rng.choice(MMVU_SUBJECTS)}/{number}.mp4",
        "question": "How much is it?",
        "question_type": "multiple-choice",
        "choices": dict(zip("ABCDE", options, strict=True)),
        "answer": LETTERS[right],
    }
    return _choice(row, "", options, right)


TASKS = ("", *TEMPCOMPASS_TASKS, "captioning", "Adaptation", "Comprehension", "Perception")
ASKED: dict[str, Callable[[random.Random, int], Asked]] = {
    "videomme": _videomme,
    "vsibench": _vsibench,
    "perceptiontest": _perceptiontest,
    "tempcompass": _tempcompass,
    "videommmu": _videommmu,
    "mmvu": _mmvu,
}
