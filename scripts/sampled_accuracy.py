"""Mean of the six benchmarks, greedy and sampled as in RL: python scripts/sampled_accuracy.py FOLDER ...

The demo's benchmarks are answered greedily; RL raises what is sampled, which need not be the same.
"""

import sys
from pathlib import Path
from statistics import mean

import torch
import yaml

from stgrpo.benchmarks import BENCHMARKS
from stgrpo.benchmarks.grading import grade, scores
from stgrpo.files import read_records
from stgrpo.loading import load_experiment
from stgrpo.policy.clips import make_clip
from stgrpo.policy.generate import generate
from stgrpo.policy.model import load_policy
from stgrpo.policy.sampling import KeyedSampler, greedy, key
from stgrpo.prompts import render
from stgrpo.records import Prediction, Question
from stgrpo.video import FrameReader

BATCH = 128


def main() -> None:
    """Print one line a folder."""
    torch.set_num_threads(1)
    scale = load_experiment(yaml.safe_load(Path("config.yaml").read_text())).active
    asked = [(name, q) for name in BENCHMARKS for q in read_records(f"results/seeds/questions/{name}.jsonl", Question)]
    with FrameReader() as reader:
        clips = {v: make_clip(reader.read(v, scale.evaluation.frames)) for v in {q.video for _, q in asked}}
    for folder in sys.argv[1:]:
        policy = load_policy(folder)
        policy.model.eval()
        texts = {"greedy": [], "sampled": []}
        for start in range(0, len(asked), BATCH):
            part = [q for _, q in asked[start : start + BATCH]]
            shown = [clips[q.video] for q in part]
            prompts = [policy.prompt_ids(render(q, scale.prompt), clip) for q, clip in zip(part, shown, strict=True)]
            keyed = KeyedSampler([key(q.id) for q in part], scale.training.temperature, scale.training.top_p)
            for name, sample in (("greedy", greedy), ("sampled", keyed)):
                answers = generate(policy, prompts, shown, sample, scale.evaluation.max_tokens)
                texts[name] += [policy.text(answer) for answer in answers]
        print(folder, ", ".join(f"{how} {_mean_score(asked, found):.1f}" for how, found in texts.items()), flush=True)


def _mean_score(asked: list[tuple[str, Question]], texts: list[str]) -> float:
    predictions = [Prediction(name, q.id, text, "") for (name, q), text in zip(asked, texts, strict=True)]
    questions = {name: [q for n, q in asked if n == name] for name in BENCHMARKS}
    graded = grade(questions, predictions, frozenset([""]))
    return mean(score.value for score in scores(questions, predictions, graded))


if __name__ == "__main__":
    main()
