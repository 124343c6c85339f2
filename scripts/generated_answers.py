"""What a model might write about a benchmark's questions; all from a seed.

Texts are right, wrong, wordy, in the wrong case, in other scripts, empty or sheer noise, with and without their tags.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from generated_rows import ASKED, TASKS, Asked

FORMS = {  # of a text with thought and answer, and how often each comes up
    "tags": ("<think>{thought}</think>\n<answer>{answer}</answer>", 9),
    "an answer tag alone": ("<answer> {answer} </answer>", 2),
    "two answer tags": ("<think>{thought}</think><answer>{answer}</answer> or <answer>{thought}</answer>", 1),
    "a thought without its first tag": ("{thought}</think>\n<answer>{answer}</answer>", 1),
    "words before the thought": ("Well. <think>{thought}</think> {answer}", 1),
    "no answer tag": ("<think>{thought}</think>\n{answer}", 3),
    "no answer tag nor first tag": ("{thought}</think>\n{answer}", 1),
    "no tag": ("{answer}", 2),
    "an answer tag left open": ("<think>{thought}</think>\n<answer>{answer}", 1),
    "a thought left open": ("<think>{thought} {answer}", 1),
}
WORDY = (
    *("The answer is {right}.", "I think it is {wrong} but the answer is {right}.", "It is not {wrong} but {right}"),
    *("{right}, for {wrong} is out.", "Let me see: {wrong}? No. So {right}", "**{right}**", "\\boxed{{{right}}}"),
    *(
        "答案是{right}",
        "정답은 {right} 입니다",
        "“{right}”",
        "{right}。",
        "Option {right}",
        "{right}\n\n",
        "I choose {right}!",
    ),
    *("A person holds it, so {right}", "{right} or {wrong}", "x = {right}", "\u00a0{right}\u200b", "{right}?\r\n"),
)
ODD = (
    *(" ", "?", "I cannot tell.", "None of the above", "API Error", "Ｂ", "Б", "b", "a", "E", "İ", "ﬁve", "٤"),
    *(
        "½",
        "²",
        "nan",
        "infinity",
        "1e999",
        "1_000",
        "-0",
        "hundred " * 200,
        "No.",
        "YES",
        "不是",
        "是的",
        "🙂",
        "\\",
        "|",
    ),
)
TALK = (
    *("The answer is", "Answer:", "so", "is", "not", "but", "because", "I choose", "The best option is", "equals"),
    *("答案是", "정답은", "A person", "b", "I", "(", ")", ".", ",", ":", "=", "!", '"', "?", "in total", "are"),
    *("has", "\n", "yes"),
)
JOINS = ("", "", " ", " ", " ", ", ", ". ", ": ", "\n", ") ")


@dataclass(frozen=True)
class Case:
    """A row, its configuration in the source, and a text about it in one of the `FORMS`."""

    row: dict[str, Any]
    task: str
    form: str
    text: str


def cases(benchmark: str, count: int, seed: int) -> list[Case]:
    """As many as asked for, by configuration."""
    rng = random.Random(f"{benchmark} {seed}")
    asked = sorted((ASKED[benchmark](rng, number) for number in range(count)), key=lambda a: TASKS.index(a.task))
    return [_case(one, rng) for one in asked]


def _case(asked: Asked, rng: random.Random) -> Case:
    (form,) = rng.choices(list(FORMS), [weight for _, weight in FORMS.values()])
    thought = f"{rng.choice(asked.wrong)}? {_noise(asked.pieces, rng)}"
    text = FORMS[form][0].format(thought=thought, answer=_answer(asked, rng))
    return Case(asked.row, asked.task, form, text)


def _answer(asked: Asked, rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.08:
        return rng.choice(ODD) if kind < 0.05 else ""
    if kind < 0.5:
        return rng.choice(asked.right if kind < 0.35 else asked.wrong)
    if kind < 0.75:
        return rng.choice(WORDY).format(right=rng.choice(asked.right), wrong=rng.choice(asked.wrong))
    return _noise(asked.pieces, rng)


def _noise(pieces: Sequence[str], rng: random.Random) -> str:
    """One piece alone, or up to seven with talk between them."""
    parts = [rng.choice(pieces)]
    for _ in range(rng.choice((0, 0, 1, 2, 3, 4, 6))):
        parts.insert(rng.randint(0, len(parts)), rng.choice(rng.choice((pieces, TALK))))
    return "".join(part + rng.choice(JOINS) for part in parts)
