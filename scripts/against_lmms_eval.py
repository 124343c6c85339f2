"""Credit random answers by our rules and by lmms-eval's own code: python scripts/against_lmms_eval.py FOLDER

FOLDER holds the unpacked wheel of lmms-eval, of which nothing is installed:

    pip download lmms-eval==0.7.3 --no-deps && unzip lmms_eval-0.7.3-py3-none-any.whl -d FOLDER

Beside numpy and pandas its rules need loguru, pyyaml and requests, and neither torch nor transformers. Run it from the
root of the project with PYTHONPATH=. where the project is not installed. Where lmms-eval would ask a judge model, it
is told "wrong", as is our rule; TempCompass's captioning, all of it judged, has nothing to compare. One line a rule:
answers, how many earn the same, how many earn less here on purpose. Status 1 if an answer differs otherwise.
"""

import importlib
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from types import ModuleType
from typing import Any

from stgrpo.benchmarks import BENCHMARKS
from stgrpo.prompts import LETTERS, lettered
from stgrpo.records import Question

ANSWERS = 20_000  # a rule
JOINS = ("", "", " ", " ", " ", ", ", ". ", ": ", "\n", ") ")
TALK = (
    *("The answer is", "Answer:", "so", "is", "not", "but", "because", "I choose", "The best option is", "equals"),
    *("答案是", "정답은", "A person", "b", "I", "(", ")", ".", ",", ":", "=", "!", '"', "?", "in total", "are", "has"),
)
MORE_CHOICES = tuple(form.format(letter) for letter in LETTERS for form in ("{}", "{}", "{}.", "({})", "{})", "{}:"))
CHOICES = tuple(piece for piece in MORE_CHOICES if not set(piece) & set("FGHIJ"))
WORDS = ("red", "dog", "kitchen", "Doppler effect", "window", "green", "sofa", "bee", "zebra", "a man")
NUMBERS = (
    *("0", "1", "2", "3", "4", "4.0", "4.05", "5", "-4", "0.9", "1.5", "42", "42.004", "1,200", "1200", "1.2e3", ".5"),
    *("zero", "four", "twenty-one", "hundred", "two hundred and one", "three thousand", "and", "several", "m", "rooms"),
)
YES_NO = ("yes", "no", "Yes", "No", "Nothing", "YES.", "yesterday")
CAPTIONS = ("Option 1: A dog runs.", "Option 2: A cat runs.", "Option 3: A cat sits.")
CAPTION_PARTS = ("Option", "option", "1", "2", "3", "2.", "(2)", "A cat runs.", "A dog runs.", "A cat runs", *CAPTIONS)
STRICTER = {"mmvu"}  # than lmms-eval, see its module


class Row(dict[str, Any]):
    """A row of a benchmark in which only the fields that decide the credit are given."""

    def __missing__(self, field: str) -> str:
        return "x"


@dataclass(frozen=True)
class Rule:
    """The questions of one rule, what their answers are made of, and lmms-eval's credit of an answer."""

    benchmark: str
    questions: Sequence[Question]
    pieces: Sequence[str]
    theirs: Callable[[Question, str], float]


def load(folder: Path) -> dict[str, Any]:
    """lmms-eval's scorers by benchmark, without what the packages around them import."""
    os.environ.setdefault("HF_HOME", "unused")
    for name in ("lmms_eval", "lmms_eval.tasks"):
        package = ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    sys.modules["cv2"], sys.modules["datasets"] = ModuleType("cv2"), ModuleType("datasets")
    vars(sys.modules["datasets"])["Dataset"] = object  # annotations name it
    places = {name: name for name in BENCHMARKS} | {"perceptiontest": "perceptiontest.val"}
    found = {name: importlib.import_module(f"lmms_eval.tasks.{place}.utils") for name, place in places.items()}
    vars(found["tempcompass"])["get_eval_result"] = lambda *_: ("", 0)  # the judge model
    return found


def asked(kind: str, truths: Sequence[str], options: Sequence[str] = ()) -> list[Question]:
    """A question for each truth."""
    return [Question("q", "v", "?", tuple(options), kind, truth, "s") for truth in truths]


def choices(count: int) -> list[Question]:
    """A question for each of the letters to be the right one."""
    return asked("multiple choice", LETTERS[:count], lettered(list(WORDS[:count])))


def rules(scorers: dict[str, Any]) -> dict[str, Rule]:
    """Every rule that needs no judge model."""
    mme, vsi, perception, tempcompass, mmmu, mmvu = (scorers[name] for name in BENCHMARKS)

    def spatial(kind: str, metric: str) -> Callable[[Question, str], float]:
        score = vsi.vsibench_process_results
        return lambda q, a: score(Row(question_type=kind, ground_truth=q.answer), [a])["vsibench_overall"][metric]

    def temporal(form: str) -> Callable[[Question, str], float]:
        score = getattr(tempcompass, f"tempcompass_process_results_{form}")
        question = "\n".join(("?", *CAPTIONS))
        return lambda q, a: score(Row(question=question, answer=whole(q)), [a])["avg_accuracy"]["rating"]

    def lecture(kind: str, judge: Callable[[str, Any], bool]) -> Callable[[Question, str], float]:
        def score(q: Question, a: str) -> float:
            row = Row(id="validation_Art_1", question_type=kind, options=list(q.options))
            return judge(q.answer, mmmu.videommmu_process_results(row, [a])["mmmu_acc"]["parsed_pred"])

        return score

    def duration(q: Question, a: str) -> float:
        return mme.videomme_process_results(Row(answer=q.answer), [a])["videomme_perception_score"]["score"]

    def area(q: Question, a: str) -> float:
        row = Row(answer_id=str(LETTERS.index(q.answer)))
        return perception.perceptiontest_val_process_results_mc(row, [a])["accuracy"]["correct"]

    def expert(q: Question, a: str) -> float:
        options = dict(zip(LETTERS, WORDS[:5], strict=False))
        row = Row(question_type="multiple-choice", video_path="videos/Art/1.mp4", choices=options, answer=q.answer)
        return mmvu.mmvu_process_results(row, [a])["accuracy"]["correct"]

    lines = (*CHOICES, *lettered(list(WORDS[:4])))
    many = choices(10)
    quantities = asked("regression", ("1", "4", "4.2", "21", "201", "3000"))
    opened = asked("free-form", ("4", "42", "1200", "0.5", "Kitchen", "dog", "b"))
    captions = asked("caption matching", CAPTIONS, CAPTIONS)
    return {
        "videomme": Rule("videomme", choices(4), CHOICES, duration),
        "vsibench choices": Rule("vsibench", choices(4), CHOICES, spatial("route_planning", "accuracy")),
        "vsibench quantities": Rule("vsibench", quantities, NUMBERS, spatial("object_counting", "MRA:.5:.95:.05")),
        "perceptiontest": Rule("perceptiontest", choices(3), CHOICES, area),
        "tempcompass multi-choice": Rule("tempcompass", choices(4), lines, temporal("multi_choice")),
        "tempcompass yes/no": Rule("tempcompass", asked("yes or no", ("yes", "no")), YES_NO, temporal("yes_no")),
        "tempcompass captions": Rule("tempcompass", captions, CAPTION_PARTS, temporal("caption_matching")),
        "videommmu choices": Rule("videommmu", many, MORE_CHOICES, lecture("multiple-choice", mmmu.eval_multi_choice)),
        "videommmu open": Rule("videommmu", opened, (*NUMBERS, *WORDS), lecture("open", mmmu.eval_open)),
        "mmvu": Rule("mmvu", choices(5), (*CHOICES, *WORDS), expert),
    }


def whole(question: Question) -> str:
    """The truth as TempCompass writes it: of a choice the option with its letter."""
    return next((o for o in question.options if o.startswith(f"{question.answer}.")), question.answer)


def random_answer(pieces: Sequence[str], rng: random.Random) -> str:
    """One piece alone, or up to seven with talk between them; stripped, as every extracted answer is."""
    parts = [rng.choice(pieces)]
    for _ in range(rng.choice((0, 0, 1, 2, 3, 4, 6))):
        parts.insert(rng.randint(0, len(parts)), rng.choice(rng.choice((pieces, TALK))))
    return "".join(part + rng.choice(JOINS) for part in parts).strip()


def compare(name: str, rule: Rule) -> bool:
    """Print the rule's line; whether every difference is on purpose."""
    rng, right, less, wrong = random.Random(name), 0, [], []
    for _ in range(ANSWERS):
        question, answer = rng.choice(rule.questions), random_answer(rule.pieces, rng)
        ours, theirs = BENCHMARKS[rule.benchmark].credit(question, answer), rule.theirs(question, answer)
        right += theirs > 0
        if not isclose(ours, theirs, abs_tol=1e-12):
            on_purpose = rule.benchmark in STRICTER and ours < theirs
            (less if on_purpose else wrong).append(f"{answer!r} for {question.answer!r}: {ours:g}, theirs {theirs:g}")
    same = ANSWERS - len(less) - len(wrong)
    print(f"{name}: {ANSWERS} answers ({right} with credit), {same} agree, {len(less)} differ on purpose", end="")
    print(*(f"; {kind}: {found[0]}" for kind, found in (("such as", less), (f"{len(wrong)} WRONG", wrong)) if found))
    return not wrong


def main() -> None:
    """One line a rule."""
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "lmms_eval").is_dir():
        sys.exit("usage: python scripts/against_lmms_eval.py FOLDER, with lmms-eval 0.7.3 in FOLDER/lmms_eval")
    agreed = [compare(name, rule) for name, rule in rules(load(Path(sys.argv[1]))).items()]
    sys.exit(not all(agreed))


if __name__ == "__main__":
    main()
