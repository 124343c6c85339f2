"""docs/benchmark-scores.md, from what against_lmms_eval.py compared."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from generated_answers import FORMS
from intended_differences import DIFFERENCES, LETTER, SET_ASIDE

NAMES = {
    "videomme": "VideoMME",
    "vsibench": "VSI-Bench",
    "perceptiontest": "PerceptionTest",
    "tempcompass": "TempCompass",
    "videommmu": "VideoMMMU",
    "mmvu": "MMVU",
}
PAGE = """# Our benchmark scores against lmms-eval's

Written by [scripts/against_lmms_eval.py](../scripts/against_lmms_eval.py); do not edit. To write it again:

    make against-lmms-eval

It installs lmms-eval {version} into an environment of its own and runs the functions of that package there. A benchmark
gets {answers:,} generated rows in its source's fields and a text about each: right, wrong, wordy, in the wrong case, in
other scripts, empty, sheer noise, with and without tags. Here they go the way of every evaluation, from parquet to the
score; there each row and the answer extracted from its text go to the function that scores one answer, and the results
to the one that makes them a score. Answers are made to be hard to read, so the scores say nothing about any model.

## Scores

Percent, whatever unit lmms-eval returns. "The others" are the answers that are not among the intended differences
below: there every credit, every part and the score are equal, up to the digits to which lmms-eval rounds. "Whole
texts" is what lmms-eval's functions make of the texts without the answer extracted.

{scores}

lmms-eval reports TempCompass's configurations and VideoMMMU's tracks one by one; our single number counts every
question the same, and the column is lmms-eval's function over all of them. Answers for which it raises an error are not
in its column.

The tables show the first of {seeds} sets of {answers:,} answers a benchmark. In all of them {more:,} of {all_answers:,}
answers differ, each for one of the reasons below; no other does, and every score and part agrees.

## Intended differences

{differences}

Of MMVU's answers in the first set {bare} are one letter and nothing else, which is what our prompt asks for: none of
these differs.

## Rows that are set aside

One such row each was added to the others, for the reason to be seen at work.

{aside}

## From text to answer

What a benchmark's rule reads is the text inside the first answer tag; without one, all that follows the last
`</think>`. lmms-eval takes thoughts away but leaves answer tags in, since its own prompts ask for none, and keeps words
that stand before a thought. Texts of all six benchmarks, by what was around the answer:

{forms}
"""


def page(compared: Mapping[str, Any], counts: Mapping[str, int], version: str, answers: int, seeds: int) -> str:
    """The page.

    Args:
        compared: by benchmark, of the first seed.
        counts: of all seeds, by reason.
        version: lmms-eval's.
        answers: a benchmark and seed.
        seeds: how many.
    """
    return PAGE.format(
        version=version,
        answers=answers,
        seeds=seeds,
        more=sum(counts.values()),
        all_answers=seeds * answers * len(compared),
        scores=_scores(compared),
        differences=_differences(compared, counts, answers * seeds),
        bare=sum(LETTER.fullmatch(one.answer) is not None for one in compared["mmvu"].asked),
        aside=_aside(compared),
        forms=_forms(compared),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _scores(compared: Mapping[str, Any]) -> str:
    head = ("benchmark", "ours", "lmms-eval", "answers that differ", "ours, the others", "lmms-eval, the others")
    rows = []
    for name, one in compared.items():
        values = (one.ours.value, one.theirs["score"])
        agreed = (one.ours_agreed.value, one.theirs_agreed["score"])
        differ = sum(reason is not None for reason in one.reasons)
        numbers = (*map(_percent, values), str(differ), *map(_percent, agreed), _percent(one.theirs_whole))
        rows.append((NAMES[name], *numbers))
    return _table((*head, "lmms-eval, whole texts"), rows)


def _percent(value: float) -> str:
    return f"{value:.3f}"


def _differences(compared: Mapping[str, Any], counts: Mapping[str, int], total: int) -> str:
    here = Counter(reason for one in compared.values() for reason in one.reasons)
    rows = [
        (NAMES[d.benchmark], d.answer, str(here[key]), str(counts[key]), d.theirs, d.ours, d.reason)
        for key, d in DIFFERENCES.items()
    ]
    judged = str(compared["tempcompass"].theirs["judged"])
    judge = "asks gpt-3.5-turbo, which is told here to have said wrong"
    rows.append(("TempCompass", "fits no rule", judged, "", judge, "wrong", "no judge model in any score"))
    asked = "asked as the multiple choice that its caption would be judged by; shown, not counted"
    captioning = (
        "TempCompass",
        "to captioning",
        "none",
        "",
        "asks gpt-3.5-turbo",
        asked,
        "no judge model in any score",
    )
    head = ("benchmark", "an answer that", "of the first set", f"of {total:,}", "lmms-eval", "here", "why")
    return _table(head, [*rows, captioning])


def _aside(compared: Mapping[str, Any]) -> str:
    rows = []
    for name, one in compared.items():
        for flaw, (_, row, result) in zip(SET_ASIDE[name], one.aside, strict=True):
            rows.append((NAMES[name], flaw.row, _outcome(flaw.answer, result), row.reason, flaw.reason))
    return _table(("benchmark", "row", "lmms-eval", "our note", "why"), rows)


def _outcome(answer: str, result: Mapping[str, Any]) -> str:
    (credit,) = result["credits"]
    if isinstance(credit, str):
        return f"raises {credit}"
    if credit and not result["score"]:
        return "leaves it out of the score"
    return f'"{answer}" is {"right" if credit else "wrong"}'


def _forms(compared: Mapping[str, Any]) -> str:
    texts, alike = Counter[str](), Counter[str]()
    for one in compared.values():
        for asked, stripped in zip(one.asked, one.stripped, strict=True):
            texts[asked.case.form] += 1
            alike[asked.case.form] += asked.answer == stripped
    rows = [(form, f"`{_shown(form)}`", str(texts[form]), str(alike[form])) for form in FORMS]
    return _table(("around the answer", "text", "texts", "the same to lmms-eval"), rows)


def _shown(form: str) -> str:
    return FORMS[form][0].format(thought="thought", answer="B").replace("\n", " ")
