"""The contract with TRL 1.16, on real tiny models: what a step of STGRPOTrainer computes."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from conftest import spec_of
from probe import probe
from safetensors.torch import load_file
from test_policy import stock_inputs
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration
from trl.trainer.utils import RepeatSampler

from stgrpo.errors import UserError, VideoError
from stgrpo.policy.model import Policy, load_policy
from stgrpo.records import Question
from stgrpo.rl.adapters import merge_adapters
from stgrpo.rl.groups import joint_advantages
from stgrpo.rl.rewards import COMPONENTS
from stgrpo.rl.rollouts import Rollouts, order_of_questions
from stgrpo.rl.train import Runtime, train
from stgrpo.rl.trainer import STGRPOTrainer, trainer_config
from stgrpo.specs import TrainSpec
from stgrpo.variants.temporal import mean_entropy
from stgrpo.video import FrameReader


@pytest.fixture(autouse=True)
def varied_rewards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(COMPONENTS, "accuracy", probe)


@pytest.fixture(scope="module")
def reader() -> Iterator[FrameReader]:
    with FrameReader() as opened:
        yield opened


@dataclass
class Setup:
    """Everything a trainer needs."""

    policy_path: Path
    questions: list[Question]
    scores: Mapping[str, tuple[float, ...]]
    reader: FrameReader
    folder: Path
    made: list[STGRPOTrainer] = field(default_factory=list)

    def trainer(self, spec: TrainSpec, micro_rows: int = 16, kind: type[STGRPOTrainer] = STGRPOTrainer) -> Any:
        policy = load_policy(self.policy_path)
        rollouts = Rollouts(spec, policy, {q.id: q for q in self.questions}, self.scores, self.reader)
        return kind(spec, policy, rollouts, trainer_config(spec, self.folder, micro_rows, 100))


@pytest.fixture
def setup(policy_path, questions, scores, reader, tmp_path) -> Setup:
    return Setup(policy_path, questions, scores, reader, tmp_path)


class Recorder(STGRPOTrainer):
    """Keeps the clips that each pass was given, the batch of a step, and the gradient before clipping."""

    def __init__(self, *args: Any) -> None:
        self.passes: list[tuple[str, list[int]]] = []
        self.batch: dict[str, Any] = {}
        super().__init__(*args)

    def answer(self, rows):
        self.passes.append(("generation", [id(row.clip) for row in rows]))
        return super().answer(rows)

    def _get_per_token_logps_and_entropies(self, model, *args, **kwargs):
        name = "reference" if model is self.ref_model else "policy"
        self.passes.append((name, [id(clip) for clip in self._clips]))
        return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)

    def _generate_and_score_completions(self, inputs):
        self.batch = super()._generate_and_score_completions(inputs)
        return self.batch

    def _compute_loss(self, model, inputs):
        self.order = [self.batch["clip"].index(clip) for clip in inputs["clip"]]
        return super()._compute_loss(model, inputs)


class Ragged(Recorder):
    """Answers of 1 to 8 tokens: a random policy hardly ever ends one, and equal lengths would hide what is divided."""

    def answer(self, rows):
        return [tokens[: 1 + 3 * number % 8] for number, tokens in enumerate(super().answer(rows))]


def test_advantages_are_equation_4_by_hand(setup: Setup):
    trainer = setup.trainer(spec_of(steps=1), kind=Recorder)
    trainer.train()
    rewards = trainer._components.sum(1)  # (16,)
    got = trainer.batch["advantages"]
    for group in range(2):
        part = slice(8 * group, 8 * group + 8)
        values = rewards[part].tolist()
        mean = sum(values) / 8
        std = (sum((v - mean) ** 2 for v in values) / 7) ** 0.5
        by_hand = torch.tensor([(v - mean) / (std + 1e-4) for v in values])
        torch.testing.assert_close(got[part], by_hand, atol=1e-5, rtol=1e-5)
    ours = joint_advantages(rewards.view(2, 2, 4)).flatten()
    torch.testing.assert_close(got, ours, atol=1e-5, rtol=1e-5)
    by_variant = rewards.view(4, 4)
    alone = (by_variant - by_variant.mean(1, keepdim=True)) / (by_variant.std(1, keepdim=True) + 1e-4)
    assert (got - alone.flatten()).abs().max() > 0.05, "per-variant normalisation would be something else"


def test_answers_of_a_variant_share_its_pixels_in_every_pass(setup: Setup):
    trainer = setup.trainer(spec_of(steps=1), kind=Recorder)
    trainer.train()
    given = dict(trainer.passes)
    assert set(given) == {"generation", "reference", "policy"}
    clips = given["generation"]
    assert [len(set(clips[i : i + 4])) for i in range(0, 16, 4)] == [1, 1, 1, 1]
    assert len(set(clips)) == 4, "two questions with two variants each"
    assert given["reference"] == clips
    rows = trainer.last_rows
    by_id = {id(row.clip): row for row in rows}
    assert sorted(map(str, given["policy"])) == sorted(map(str, clips)), "the policy pass sees them"
    for first in (0, 8):
        one, two = by_id[clips[first]], by_id[clips[first + 4]]
        assert one.question.id == two.question.id
        assert one.clip.pixels.shape != two.clip.pixels.shape or not torch.equal(one.clip.pixels, two.clip.pixels)


def test_micro_batches_hold_whole_variants(setup: Setup):
    """Shuffled, as TRL has them, the answers of a variant would fall into several, each with the prompt once more."""
    trainer = setup.trainer(spec_of(steps=2), micro_rows=4, kind=Recorder)
    trainer.train()
    passes = [clips for name, clips in trainer.passes if name == "policy"]
    assert [len(clips) for clips in passes] == [4] * 8
    assert [len(set(clips)) for clips in passes] == [1] * 8


@pytest.mark.parametrize("knobs", [{}, {"algorithm": "dr_grpo", "condition": "original"}, {"lora": 4}], ids=str)
def test_a_training_is_the_same_whatever_its_rows_share(setup: Setup, knobs: dict[str, Any]):
    """Losses, gradients and answers of three steps, in micro-batches; the passes have their own, closer tests."""
    found = {}
    for sharing in ("plain", "prefix"):
        folder = setup.folder / sharing
        folder.mkdir()
        runtime = Runtime(8, 100, sharing)
        train(spec_of(steps=3, **knobs), runtime, setup.policy_path, setup.questions, setup.scores, folder)
        lines = [json.loads(text) for text in (folder / "train.jsonl").read_text().splitlines()]
        found[sharing] = [[row[name] for row in lines] for name in ("loss", "grad_norm", "kl", "token_entropy")]
        found[sharing].append((folder / "groups.jsonl").read_text())
    *plain, answered = found["plain"]
    *ours, same = found["prefix"]
    assert answered == same
    for one, other in zip(ours, plain, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


def test_policy_pass_pairs_every_answer_with_its_own_clip(setup: Setup):
    trainer = setup.trainer(spec_of(steps=1), micro_rows=8, kind=Recorder)
    pairs = []
    stock = trainer._get_per_token_logps_and_entropies

    def spy(model, ids, mask, keep, **kwargs):
        if model is not trainer.ref_model:
            video = trainer.policy.video_token
            pairs.extend(
                (int((row == video).sum()), clip.tokens) for row, clip in zip(ids, trainer._clips, strict=True)
            )
        return stock(model, ids, mask, keep, **kwargs)

    trainer._get_per_token_logps_and_entropies = spy
    trainer.train()
    assert len(pairs) == 16
    assert all(placeholders == tokens for placeholders, tokens in pairs)


def moved_away(trainer: STGRPOTrainer) -> STGRPOTrainer:
    """Push the policy off the reference, or the KL and its gradient would be zero in the first step."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return trainer


def stock_logps(setup: Setup, trainer: Recorder, weights: Mapping[str, Tensor] | None) -> tuple[Tensor, Any]:
    """Log-probabilities (R, T) of the recorded answers by transformers' stock forward, and the model."""
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(setup.policy_path, dtype=torch.float32)
    if weights:
        stock.load_state_dict(weights)
    batch = trainer.batch
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    inputs = stock_inputs(Policy(stock, trainer.policy.tokenizer), ids, mask, batch["clip"])
    length = batch["completion_ids"].shape[1]
    logps = torch.log_softmax(stock(**inputs).logits[:, -length - 1 : -1], -1)
    return logps.gather(-1, batch["completion_ids"][..., None])[..., 0], stock


def grpo_mean(per_token: Tensor, answers: Tensor) -> Tensor:
    """GRPO: the mean over an answer's tokens, then over the answers; (R, T), (R, T) -> ()."""
    return ((per_token * answers).sum(1) / answers.sum(1)).mean()


def independent_loss(
    setup: Setup,
    trainer: Recorder,
    start: Mapping[str, Tensor],
    advantages: Tensor,
    mean: Callable[[Tensor, Tensor], Tensor] = grpo_mean,
) -> tuple[float, dict[str, Tensor], float]:
    """The loss with KL on the recorded batch, by transformers' stock forward: loss, gradient, mean KL.

    On-policy: the ratio is 1, its gradient that of log pi; KL is the k3 estimator exp(d) - d - 1, d = ref - policy.
    """
    beta = trainer.spec.training.beta
    logps, stock = stock_logps(setup, trainer, start)
    reference, _ = stock_logps(setup, trainer, None)
    distance = reference.detach() - logps
    kl = torch.exp(distance) - distance - 1
    ratio = torch.exp(logps - logps.detach())
    per_token = -(ratio * advantages[:, None] - beta * kl)
    answers = trainer.batch["completion_mask"]
    assert sorted(set(answers.sum(1).tolist())) == list(range(1, 9))
    loss = mean(per_token, answers)
    loss.backward()
    mean_kl = float((kl.detach() * answers).sum() / answers.sum())
    return loss.item(), {name: p.grad for name, p in stock.named_parameters() if p.grad is not None}, mean_kl


def gradients(trainer: STGRPOTrainer) -> dict[str, Tensor]:
    """Register a callback that keeps the gradient of the next optimizer step."""
    from transformers import TrainerCallback

    kept: dict[str, Tensor] = {}

    class Keep(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **_):
            kept.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})

    trainer.add_callback(Keep())
    return kept


def compare_gradients(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert set(found) == set(expected)
    largest = max(float(g.abs().max()) for g in expected.values())
    assert largest > 1e-3, "no gradient, nothing compared"
    for name, gradient in expected.items():
        assert float((found[name] - gradient).abs().max()) < 1e-5 * max(1, largest), name


@pytest.mark.parametrize("micro_rows", [16, 4])
def test_one_variant_is_plain_grpo(setup: Setup, micro_rows: int):
    """M = 1, G = 8: loss and gradient of a computation that shares no code with the trainer."""
    spec = spec_of("none", variants=1, generations=8, steps=1, max_grad_norm=1e9, beta=0.2)
    trainer = moved_away(setup.trainer(spec, micro_rows, kind=Ragged))
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    kept = gradients(trainer)
    trainer.train()
    loss, expected, kl = independent_loss(setup, trainer, start, trainer.batch["advantages"])
    assert loss > 1e-3, "beta times a KL that is not zero"
    assert trainer.state.log_history[0]["loss"] == pytest.approx(loss, rel=1e-4)
    tolerance = 1e-3 if micro_rows == 16 else 0.1  # TRL logs the mean over passes of unequal lengths
    assert trainer.state.log_history[0]["kl"] == pytest.approx(kl, rel=tolerance)
    compare_gradients(kept, expected)
    assert any("visual" in name and g.abs().max() > 1e-5 for name, g in kept.items()), "the vision tower learns"


def test_importance_variants_are_plain_grpo_over_the_pool(setup: Setup):
    """M = 2, G = 4: the same independent computation, each answer conditioned on its own variant."""
    trainer = moved_away(setup.trainer(spec_of(steps=1, max_grad_norm=1e9, beta=0.2), 16, kind=Ragged))
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    kept = gradients(trainer)
    trainer.train()
    loss, expected, _ = independent_loss(setup, trainer, start, trainer.batch["advantages"])
    assert loss > 1e-3
    assert trainer.state.log_history[0]["loss"] == pytest.approx(loss, rel=1e-4)
    compare_gradients(kept, expected)


@pytest.mark.parametrize("micro_rows", [16, 4])
def test_dr_grpo_neither_divides_by_the_spread_nor_by_the_length(setup: Setup, micro_rows: int):
    """M = 2, G = 4: rewards less their pool's mean; the sum over tokens by a length that is the same for all."""
    spec = spec_of(algorithm="dr_grpo", steps=1, max_grad_norm=1e9, beta=0.2)
    trainer = moved_away(setup.trainer(spec, micro_rows, kind=Ragged))
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    kept = gradients(trainer)
    trainer.train()
    pools = trainer._components.sum(1).view(2, 8)
    advantages = (pools - pools.mean(1, keepdim=True)).flatten()
    torch.testing.assert_close(trainer.batch["advantages"], advantages, atol=1e-6, rtol=1e-5)

    def dr_grpo_mean(per_token: Tensor, answers: Tensor) -> Tensor:
        return (per_token * answers).sum() / (16 * 8)  # answers a step, max_tokens

    loss, expected, _ = independent_loss(setup, trainer, start, advantages, dr_grpo_mean)
    assert abs(loss) > 1e-3
    assert trainer.state.log_history[0]["loss"] == pytest.approx(loss, rel=1e-4)
    compare_gradients(kept, expected)


def test_dr_grpo_without_std_only_keeps_grpo_s_mean(setup: Setup):
    """M = 1, G = 8: rewards less their pool's mean, not divided; the mean over an answer's own tokens."""
    spec = spec_of("none", 1, 8, algorithm="dr_grpo_no_std", steps=1, max_grad_norm=1e9, beta=0.2)
    trainer = moved_away(setup.trainer(spec, 4, kind=Ragged))
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    kept = gradients(trainer)
    trainer.train()
    pools = trainer._components.sum(1).view(2, 8)
    advantages = (pools - pools.mean(1, keepdim=True)).flatten()
    torch.testing.assert_close(trainer.batch["advantages"], advantages, atol=1e-6, rtol=1e-5)
    loss, expected, _ = independent_loss(setup, trainer, start, advantages)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(loss, rel=1e-4)
    compare_gradients(kept, expected)


@pytest.mark.parametrize("micro_rows", [16, 4])
def test_a_ratio_per_sequence_has_the_gradient_of_equation_3_as_printed(setup: Setup, micro_rows: int):
    """M = 2, G = 4, by autograd on the product of an answer's token ratios: neither 1/|o| nor GSPO's root."""
    spec = spec_of(ratio="sequence", steps=1, max_grad_norm=1e9, beta=0.2)
    trainer = moved_away(setup.trainer(spec, micro_rows, kind=Ragged))
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    kept = gradients(trainer)
    trainer.train()
    answers, advantages = trainer.batch["completion_mask"], trainer.batch["advantages"]
    logps, stock = stock_logps(setup, trainer, start)
    reference, _ = stock_logps(setup, trainer, None)
    token_ratios = torch.where(answers.bool(), torch.exp(logps - logps.detach()), 1.0)
    ratio = token_ratios.prod(1)  # (R,), pi(o) / pi_old(o)
    clipped = ratio.clamp(1 - spec.training.epsilon, 1 + spec.training.epsilon)
    distance = reference.detach() - logps
    kl = ((torch.exp(distance) - distance - 1) * answers).sum(1)  # (R,), of answers
    loss = -(torch.minimum(ratio * advantages, clipped * advantages) - spec.training.beta * kl).mean()
    loss.backward()
    assert sorted(set(answers.sum(1).tolist())) == list(range(1, 9))
    compare_gradients(kept, {name: p.grad for name, p in stock.named_parameters() if p.grad is not None})
    logged = loss.item() - (advantages * (answers.sum(1) - 1)).mean().item()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(logged, rel=1e-4), "-A |o| in place of -A"
    _, per_token, _ = independent_loss(setup, trainer, start, advantages)
    with pytest.raises(AssertionError):
        compare_gradients(kept, per_token)


@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo"])
def test_advantages_per_variant_by_hand(setup: Setup, algorithm: str):
    spec = spec_of(pool="variant", algorithm=algorithm, steps=1)
    trainer = setup.trainer(spec, kind=Recorder)
    trainer.train()
    rewards, got = trainer._components.sum(1).tolist(), trainer.batch["advantages"]
    for first in range(0, 16, 4):  # the four answers to one variant
        values = rewards[first : first + 4]
        mean = sum(values) / 4
        std = (sum((v - mean) ** 2 for v in values) / 3) ** 0.5 + 1e-4 if algorithm == "grpo" else 1
        by_hand = torch.tensor([(v - mean) / std for v in values])
        torch.testing.assert_close(got[first : first + 4], by_hand, atol=1e-5, rtol=1e-5)
    assert got.abs().max() > 0.05, "all rewards are equal, nothing compared"
    written = torch.tensor([rollout.advantage for rollout in trainer.answered.rollouts(1)])
    torch.testing.assert_close(written, got)
    pool = joint_advantages(trainer._components.sum(1).view(2, 2, 4), scale=algorithm == "grpo").flatten()
    assert (got - pool).abs().max() > 0.05, "the pool of a group would be something else"


def test_answers_sampled_from_variants_are_judged_on_the_original(setup: Setup):
    """Policy and reference see the plain clip with its own prompt: loss and gradient of an independent computation."""
    spec = spec_of(condition="original", steps=1, max_grad_norm=1e9, beta=0.2)
    trainer = moved_away(setup.trainer(spec, 4, kind=Ragged))
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    kept = gradients(trainer)
    trainer.train()
    rows, clips = trainer.last_rows, trainer.batch["clip"]
    plain = [
        row.clip for row in setup.trainer(spec_of("none", 1, 8)).rollouts.rows([r.question.id for r in rows], 0, 0)
    ]
    assert len(set(map(id, clips))) == 2, "encoded once a question"
    assert all(torch.equal(clip.pixels, other.pixels) for clip, other in zip(clips, plain, strict=True))
    given = dict(trainer.passes)
    assert given["generation"] == [id(row.clip) for row in rows]
    assert not set(given["generation"]) & set(map(id, clips)), "sampled from the variants"
    assert given["reference"] == list(map(id, clips))
    video = (trainer.batch["prompt_ids"] == trainer.policy.video_token).sum(1).tolist()
    assert video == [clip.tokens for clip in clips]
    assert video != [row.clip.tokens for row in rows], "variants have fewer frames than the original"
    loss, expected, _ = independent_loss(setup, trainer, start, trainer.batch["advantages"])
    assert trainer.state.log_history[0]["loss"] == pytest.approx(loss, rel=1e-4)
    compare_gradients(kept, expected)


def test_answers_are_the_same_whatever_they_are_judged_on(setup: Setup):
    """The first step of two cells that differ in the condition: same variants, same answers, same rewards."""
    texts = []
    for condition in ("variant", "original"):
        trainer = setup.trainer(spec_of(condition=condition, steps=1), kind=Recorder)
        trainer.train()
        texts.append([(r.question, r.variant, r.frames, r.text, r.rewards) for r in trainer.answered.rollouts(1)])
    assert texts[0] == texts[1]


def test_the_entropy_that_is_logged_is_that_of_the_weights_used(setup: Setup):
    entropies = []
    for knobs in ({}, {"score_temperature": 0.02}):
        trainer = setup.trainer(spec_of(steps=1, **knobs))
        trainer.train()
        entropies.append(trainer.state.log_history[0]["variants/entropy"])
    assert entropies[0] > 0.9 > 0.5 > entropies[1] > 0  # scores are uniform in 0 to 1


def test_the_plain_variant_counts_among_the_frames_and_not_in_the_entropy(setup: Setup):
    """Of each question variant 0 has all 16 frames; the entropy is that of variant 1's weights."""
    found = []
    for identity in (False, True):
        trainer = setup.trainer(spec_of(steps=1, identity=identity))
        trainer.train()
        sizes = [len(row.variant.frames) for row in trainer.last_rows[::4]]  # a row a variant
        log = trainer.state.log_history[0]
        assert log["variants/frames"] == sum(sizes) / 4
        found.append((sizes, log["variants/entropy"], trainer.last_rows[4::8]))
    assert found[1][0][::2] == [16, 16]
    assert found[1][0][1::2] == found[0][0][1::2]
    shares = [mean_entropy(setup.scores[row.question.id], len(row.variant.frames)) for row in found[1][2]]
    assert found[1][1] == pytest.approx(sum(shares) / 2)


def test_uniform_selection_trains_without_scores(setup: Setup):
    spec = spec_of(selection="uniform", scores=None, steps=1)
    train(spec, Runtime(16, 100), setup.policy_path, setup.questions, {}, setup.folder)
    row = json.loads((setup.folder / "train.jsonl").read_text())
    assert "weight_entropy" not in row
    assert 2 <= row["variant_frames"] <= 6


def test_lora_trains_adapters_and_its_reference_is_the_policy_without_them(setup: Setup):
    trainer = setup.trainer(spec_of(lora=4, steps=1, max_grad_norm=1e9, beta=0.2), 4, kind=Ragged)
    learning = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in learning.values():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    core = trainer._core(trainer.model)
    base, _ = load_policy(setup.policy_path).model.state_dict(), trainer.train()
    assert trainer.ref_model is None
    assert trainer.args.learning_rate == pytest.approx(1e-2), "ten times that of the spec"
    layers = {name.split(".lora_")[0].split(".")[-1] for name in learning}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert all("language_model" in name for name in learning)
    for name, value in core.state_dict().items():
        if "lora_" not in name:
            assert torch.equal(value, base[name.replace(".base_layer", "")]), name
    reference, _ = stock_logps(setup, trainer, None)
    answers = trainer.batch["completion_mask"].bool()
    torch.testing.assert_close(trainer.batch["ref_per_token_logps"][answers], reference[answers], atol=1e-4, rtol=1e-4)
    assert trainer.state.log_history[0]["kl"] > 1e-4, "the policy has adapters"
    assert trainer.state.log_history[0]["grad_norm"] > 1e-3


def test_published_weights_of_a_lora_are_whole(setup: Setup):
    """W + alpha / rank * B A, alpha twice the rank, by hand from the last checkpoint's file."""
    spec = spec_of(lora=4, steps=2)
    trainer = train(spec, Runtime(16, 2), setup.policy_path, setup.questions, setup.scores, setup.folder)
    checkpoint, out = setup.folder / "checkpoint-2", setup.folder / "model"
    assert not (checkpoint / "model.safetensors").exists(), "adapters only"
    merge_adapters(setup.policy_path, checkpoint, out)
    saved, base = load_file(checkpoint / "adapter_model.safetensors"), load_policy(setup.policy_path).model
    weights = base.state_dict()
    for name in [name for name in saved if ".lora_A." in name]:
        update = 2 * saved[name.replace("lora_A", "lora_B")] @ saved[name]
        assert update.abs().max() > 1e-4, "it has learned"
        weights[name.removeprefix("base_model.model.").replace(".lora_A", "")] += update
    made = load_policy(out)
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, weights[name], atol=1e-6, rtol=1e-5)
    assert made.tokenizer.get_vocab() == trainer.policy.tokenizer.get_vocab()
    assert sorted(path.name for path in out.glob("*.safetensors")) == ["model.safetensors"]


def moved(setup: Setup, precision: str, lr: float, steps: int) -> float:
    """How far the weights went (Euclidean distance)."""
    trainer = setup.trainer(spec_of(steps=steps, precision=precision, learning_rate=lr))
    start = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    return sum(float((p.detach() - start[name]).square().sum()) for name, p in trainer.model.named_parameters()) ** 0.5


def test_fp32_and_bf16_autocast_move_the_weights_equally_far(setup: Setup):
    fp32, bf16 = (moved(setup, precision, lr=1e-6, steps=6) for precision in ("fp32", "bf16"))
    assert bf16 == pytest.approx(fp32, rel=0.1)


def test_bf16_weights_would_hardly_move(policy_path: Path):
    """Why the weights are kept in fp32: six AdamW steps at 1e-6 leave nearly all bf16 weights as they were."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(policy_path, dtype=torch.bfloat16)
    weights = [p for p in model.parameters() if p.dim() > 1]
    start = [p.detach().clone() for p in weights]
    optimizer = torch.optim.AdamW(weights, lr=1e-6)
    for _ in range(6):
        for p in weights:
            p.grad = torch.ones_like(p)
        optimizer.step()
    changed = sum(int((p != s).sum()) for p, s in zip(weights, start, strict=True))
    assert changed / sum(p.numel() for p in weights) < 0.05


def test_history_holds_figure_3(setup: Setup):
    """One line a step; the logged spread is that of the rewards in the rollouts."""
    spec = spec_of(steps=2)
    train(spec, Runtime(16, 100), setup.policy_path, setup.questions, setup.scores, setup.folder)
    lines = [json.loads(text) for text in (setup.folder / "train.jsonl").read_text().splitlines()]
    assert [row["step"] for row in lines] == [1, 2]
    rollouts = [json.loads(text) for text in (setup.folder / "rollouts.jsonl").read_text().splitlines()]
    first = torch.tensor([sum(r["rewards"].values()) for r in rollouts if r["step"] == 1]).view(2, 2, 4)
    assert lines[0]["reward_std"] == pytest.approx(first.flatten(1).std(1).mean().item(), abs=1e-5)
    assert lines[0]["between_variants"] == pytest.approx(first.mean(2).std(1).mean().item(), abs=1e-5)
    assert lines[0]["within_variants"] == pytest.approx(first.std(2).mean().item(), abs=1e-5)
    assert 0 < lines[0]["weight_entropy"] <= 1
    assert 2 <= lines[0]["variant_frames"] <= 6


@pytest.mark.parametrize("knobs", [{}, {"algorithm": "dr_grpo"}, {"pool": "variant"}], ids=str)
def test_groups_hold_what_each_answer_was_given(setup: Setup, knobs: dict[str, str]):
    """Of every step; from the texts kept as rollouts, by the statistics module instead of torch."""
    spec = spec_of(steps=2, **knobs)
    train(spec, Runtime(8, 100), setup.policy_path, setup.questions, setup.scores, setup.folder)
    groups = [json.loads(text) for text in (setup.folder / "groups.jsonl").read_text().splitlines()]
    rollouts = [json.loads(text) for text in (setup.folder / "rollouts.jsonl").read_text().splitlines()]
    order = order_of_questions([q.id for q in setup.questions], spec)
    assert [(group["step"], group["question"]) for group in groups] == list(zip((1, 1, 2, 2), order, strict=True))
    for number, group in enumerate(groups):
        answers = rollouts[8 * number : 8 * number + 8]
        assert {row["question"] for row in answers} == {group["question"]}
        assert [row["variant"] for row in answers] == [0] * 4 + [1] * 4
        assert group["correct"] == pytest.approx([len(row["text"]) % 7 / 7 for row in answers])
        rewards = [sum(row["rewards"].values()) for row in answers]
        assert group["rewards"] == pytest.approx(rewards)
        expected = []
        for pool in (rewards[:4], rewards[4:]) if spec.pool == "variant" else (rewards,):
            scale = 1 if spec.algorithm == "dr_grpo" else stdev(pool) + 1e-4
            expected += [(reward - mean(pool)) / scale for reward in pool]
        assert group["advantages"] == pytest.approx(expected, abs=1e-5)
        assert max(group["advantages"]) > 0.05
    assert len(groups) == 4


def test_same_variants_on_any_split_over_ranks(setup: Setup):
    """Rows, variants and keys depend on the global position, not on the rank that asks."""
    spec = spec_of()
    rollouts = Rollouts(
        spec, load_policy(setup.policy_path), {q.id: q for q in setup.questions}, setup.scores, setup.reader
    )
    ids = ["q0"] * 8 + ["q1"] * 8
    whole = rollouts.rows(ids, step=3, first=0)
    halves = rollouts.rows(ids[:4], 3, 0) + rollouts.rows(ids[4:], 3, 4)
    assert [(r.question.id, r.number, r.answer, r.variant, r.key) for r in whole] == [
        (r.question.id, r.number, r.answer, r.variant, r.key) for r in halves
    ]
    assert [r.number for r in whole[:8]] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len({r.key for r in whole}) == 16
    assert [r.variant for r in rollouts.rows(ids, step=4, first=0)] != [r.variant for r in whole]


class Noted(FrameReader):
    """Says which videos it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def read(self, path, rule):
        self.asked.append(str(path))
        return super().read(path, rule)


def test_the_next_step_s_videos_are_decoded_while_this_one_is_trained(setup: Setup):
    spec, videos = spec_of(steps=3), {q.id: q.video for q in setup.questions}
    policy, by_id = load_policy(setup.policy_path), {q.id: q for q in setup.questions}
    with Noted() as reader, closing(Rollouts(spec, policy, by_id, setup.scores, reader)) as rollouts:
        order = rollouts.order
        ids = [[name for name in order[i : i + 2] for _ in range(8)] for i in (0, 2, 4)]
        first = rollouts.rows(ids[0], 0, 0)
        for future in list(rollouts._coming.values()):
            future.result()
        assert reader.asked == [videos[name] for name in order[:4]], "each once, the next two ahead"
        following = rollouts.rows(ids[1], 1, 0)
        rollouts.rows(ids[2], 2, 0)
        assert reader.asked == [videos[name] for name in order], "nothing ahead of the last step"
        again = Rollouts(spec, policy, by_id, setup.scores, reader)  # resumed at step 1: nothing was expected
        alone = again.rows(ids[1], 1, 0)
        again.close()
    for ahead, now in zip(following, alone, strict=True):
        assert (ahead.variant, ahead.prompt, ahead.key) == (now.variant, now.prompt, now.key)
        assert torch.equal(ahead.clip.pixels, now.clip.pixels)
    assert len({id(row.clip) for row in first}) == 4


def test_a_video_that_breaks_meanwhile_ends_its_own_step(setup: Setup, tmp_path: Path):
    spec = spec_of(steps=2)
    order = order_of_questions([q.id for q in setup.questions], spec)
    by_id = {q.id: replace(q, video=str(tmp_path / "gone.mp4")) if q.id == order[2] else q for q in setup.questions}
    policy = load_policy(setup.policy_path)
    with closing(Rollouts(spec, policy, by_id, setup.scores, setup.reader)) as rollouts:
        assert len(rollouts.rows([order[0]] * 8 + [order[1]] * 8, 0, 0)) == 16
        with pytest.raises(VideoError, match="gone.mp4: no such file"):
            rollouts.rows([order[2]] * 8 + [order[3]] * 8, 1, 0)


def test_policy_without_kl_trains(setup: Setup):
    train(spec_of(steps=1, beta=0.0), Runtime(16, 100), setup.policy_path, setup.questions, setup.scores, setup.folder)
    assert "kl" not in json.loads((setup.folder / "train.jsonl").read_text())


def test_questions_come_in_the_order_of_trls_own_sampler_pass_after_pass():
    """TRL's sampler is asked for every pass that the training takes; 13 questions at 2 a step leave one out of each."""
    spec, ids = spec_of(steps=15), [f"q{i}" for i in range(13)]
    stock = RepeatSampler(ids, mini_repeat_count=1, batch_size=2, shuffle=True, seed=spec.seed)
    expected = [ids[i] for _ in range(3) for i in stock]
    assert spec.questions_per_step == 2
    assert order_of_questions(ids, spec) == expected[:30]
    assert len(set(expected[:12])) == 12


def test_too_few_questions_for_a_step_are_refused():
    with pytest.raises(UserError, match="1 training questions, but a step takes 2"):
        order_of_questions(["q0"], spec_of())
