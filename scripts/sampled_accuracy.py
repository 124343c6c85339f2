"""Held-out accuracy of policies, greedy and sampled as in RL: python scripts/sampled_accuracy.py FOLDER ...

The demo's benchmark is answered greedily; RL raises what is sampled, which need not be the same.
"""

import sys
from pathlib import Path

import torch
import yaml

from stgrpo.answers import extract
from stgrpo.files import read_records
from stgrpo.loading import load_experiment
from stgrpo.policy.clips import make_clip
from stgrpo.policy.generate import generate
from stgrpo.policy.model import load_policy
from stgrpo.policy.sampling import KeyedSampler, greedy, key
from stgrpo.prompts import render
from stgrpo.records import Question
from stgrpo.video import FrameReader

BATCH = 128


def main() -> None:
    """Print one line a folder."""
    torch.set_num_threads(1)
    scale = load_experiment(yaml.safe_load(Path("config.yaml").read_text())).active
    questions = read_records("results/demo/questions/tempcompass.jsonl", Question)
    with FrameReader() as reader:
        clips = {v: make_clip(reader.read(v, scale.evaluation.frames)) for v in {q.video for q in questions}}
    for folder in sys.argv[1:]:
        policy = load_policy(folder)
        policy.model.eval()
        right = {"greedy": 0, "sampled": 0}
        for start in range(0, len(questions), BATCH):
            part = questions[start : start + BATCH]
            shown = [clips[q.video] for q in part]
            prompts = [policy.prompt_ids(render(q, scale.prompt), clip) for q, clip in zip(part, shown, strict=True)]
            keyed = KeyedSampler([key(q.id) for q in part], scale.training.temperature, scale.training.top_p)
            for name, sample in (("greedy", greedy), ("sampled", keyed)):
                answers = generate(policy, prompts, shown, sample, scale.evaluation.max_tokens)
                right[name] += sum(extract(policy.text(a)) == q.answer for a, q in zip(answers, part, strict=True))
        shares = (f"{name} {100 * count / len(questions):.1f}" for name, count in right.items())
        print(folder, ", ".join(shares), flush=True)


if __name__ == "__main__":
    main()
