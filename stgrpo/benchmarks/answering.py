"""Answer a list of questions with a policy, greedily; a killed run goes on after its last whole line."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stgrpo.files import line, read_records
from stgrpo.policy.clips import Clip, make_clip
from stgrpo.policy.generate import generate
from stgrpo.policy.model import Policy
from stgrpo.policy.sampling import greedy
from stgrpo.progress import Progress
from stgrpo.prompts import render
from stgrpo.records import Prediction, Question
from stgrpo.specs import EvalSpec
from stgrpo.state import whole_lines
from stgrpo.video import FrameReader


def answer_all(
    spec: EvalSpec, policy: Policy, questions: Sequence[tuple[str, Question]], history: Path, rows: int
) -> list[Prediction]:
    """One prediction a question, in their order.

    Args:
        spec: prompt, frames and length of an answer.
        policy: the weights.
        questions: (benchmark, question) pairs; neighbours with the same video share a pass.
        history: grows by a batch at a time; what it holds already is not asked again.
        rows: questions in one pass; those about one video stand together and share its clip.
    """
    done = whole_lines(history)
    if done < len(questions):  # whole passes only: how a pass is cut moves the rounding of its answers
        done = whole_lines(history, keep=done - done % rows)
    if done:
        print(f"going on after {done} of {len(questions)} answers", flush=True)
    progress = Progress(len(questions), "question", done)
    with progress, FrameReader() as reader, history.open("a", encoding="utf-8") as out:
        for start in range(done, len(questions), rows):
            batch = questions[start : start + rows]
            for prediction in _answer(spec, policy, batch, reader):
                out.write(line(prediction))
            out.flush()
            progress.update(len(batch))
    return read_records(history, Prediction)


def _answer(
    spec: EvalSpec, policy: Policy, batch: Sequence[tuple[str, Question]], reader: FrameReader
) -> Iterator[Prediction]:
    clips: dict[str, Clip] = {}
    for _, question in batch:
        if question.video not in clips:
            clips[question.video] = make_clip(reader.read(question.video, spec.frames))
    shown = [clips[question.video] for _, question in batch]
    prompts = [
        policy.prompt_ids(render(question, spec.prompt), clip) for (_, question), clip in zip(batch, shown, strict=True)
    ]
    answers = generate(policy, prompts, shown, greedy, spec.max_tokens)
    for (benchmark, question), tokens in zip(batch, answers, strict=True):
        yield Prediction(benchmark, question.id, policy.text(tokens), spec.hash())
