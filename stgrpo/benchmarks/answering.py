"""Answer a list of questions with a policy, greedily; a killed run goes on after its last whole pass.

All questions about a video stand in one pass, so that it is decoded, encoded and read once for all of them.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import accumulate, chain, islice
from pathlib import Path

from stgrpo.files import line, read_records
from stgrpo.policy.clips import Clip, make_clip
from stgrpo.policy.generate import generate
from stgrpo.policy.model import Policy
from stgrpo.policy.sampling import greedy
from stgrpo.progress import Progress
from stgrpo.prompts import render
from stgrpo.records import Prediction, Question
from stgrpo.rules import FrameRule
from stgrpo.specs import EvalSpec
from stgrpo.state import whole_lines
from stgrpo.video import read_ahead, usable

Asked = tuple[str, Question]  # the benchmark, and one of its questions


def answer_all(
    spec: EvalSpec, policy: Policy, questions: Sequence[Asked], history: Path, rows: int, decoders: int
) -> list[Prediction]:
    """One prediction a question, in their order.

    Args:
        spec: prompt, frames and length of an answer.
        policy: the weights.
        questions: those of all benchmarks, in any order.
        history: grows by a pass at a time, in the order of the passes; what it holds already is not asked again.
        rows: questions in one pass, at most.
        decoders: processes that decode, beside the one that answers.

    Raises:
        VideoError: a video does not decode.
    """
    passes = in_passes(questions, rows)
    ends = [0, *accumulate(map(len, passes))]
    found = whole_lines(history)
    done = max(end for end in ends if end <= found)  # whole passes only: how one is cut moves its answers' rounding
    whole_lines(history, keep=done)
    if done:
        print(f"going on after {done} of {len(questions)} answers", flush=True)
    left = [[questions[i] for i in batch] for batch in passes[ends.index(done) :]]
    progress = Progress(len(questions), "question", done)
    with (
        progress,
        closing(_clips_of(left, spec.frames, decoders)) as ready,
        history.open("a", encoding="utf-8") as out,
    ):
        for batch, clips in zip(left, ready, strict=True):
            for prediction in _answer(spec, policy, batch, clips):
                out.write(line(prediction))
            out.flush()
            progress.update(len(batch))
    answered = zip((i for batch in passes for i in batch), read_records(history, Prediction), strict=True)
    return [prediction for _, prediction in sorted(answered, key=lambda pair: pair[0])]


def in_passes(questions: Sequence[Asked], rows: int) -> list[list[int]]:
    """Numbers of the questions that are asked together: whole videos, as many as fit into `rows` questions.

    Only a video with more questions than that is cut. Questions of like length stand together, because a pass takes as
    much room for each as for its longest; a clip takes about as many tokens as any other, frames being of one area.
    The longest come first: if memory does not suffice for them, that shows at once.
    """
    about: dict[str, list[int]] = {}
    for number, (_, question) in enumerate(questions):
        about.setdefault(question.video, []).append(number)
    longest = sorted(about.values(), key=lambda numbers: max(_length(questions[i]) for i in numbers), reverse=True)
    passes: list[list[int]] = []
    for numbers in longest:
        for start in range(0, len(numbers), rows):
            part = numbers[start : start + rows]
            if passes and len(passes[-1]) + len(part) <= rows:
                passes[-1] += part
            else:
                passes.append(part)
    return passes


def _length(asked: Asked) -> int:
    _, question = asked
    return len(question.text) + sum(map(len, question.options))


def _clips_of(batches: Sequence[Sequence[Asked]], rule: FrameRule, decoders: int) -> Generator[Mapping[str, Clip]]:
    """Every pass's clips by their video, those of the next one made while this one is answered."""
    videos = [list(dict.fromkeys(question.video for _, question in batch)) for batch in batches]
    frames = read_ahead(chain.from_iterable(videos), rule, decoders)

    def make(names: Sequence[str]) -> dict[str, Clip]:
        return {name: make_clip(usable(found)) for name, found in zip(names, islice(frames, len(names)), strict=True)}

    with closing(frames), ThreadPoolExecutor(1, "clips") as thread:  # one: the frames come in order
        coming = [thread.submit(make, names) for names in videos[:1]]
        for following in range(1, len(videos) + 1):
            clips = coming.pop().result()
            coming = [thread.submit(make, names) for names in videos[following : following + 1]]
            yield clips


def _answer(spec: EvalSpec, policy: Policy, batch: Sequence[Asked], clips: Mapping[str, Clip]) -> Iterator[Prediction]:
    shown = [clips[question.video] for _, question in batch]
    prompts = [
        policy.prompt_ids(render(question, spec.prompt), clip) for (_, question), clip in zip(batch, shown, strict=True)
    ]
    answers = generate(policy, prompts, shown, greedy, spec.max_tokens)
    for (benchmark, question), tokens in zip(batch, answers, strict=True):
        yield Prediction(benchmark, question.id, policy.text(tokens), spec.hash())
