"""A GPU's memory as it is foretold, against sums done by hand, and what `doctor` makes of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import experiment

from stgrpo import specs
from stgrpo.config import Experiment, Need, Resources
from stgrpo.errors import UserError
from stgrpo.planning import gpu
from stgrpo.planning.dimensions import KNOWN, Dimensions, dimensions_of
from stgrpo.planning.findings import Executor, Setting
from stgrpo.planning.memory import Engine, Load, Memory, plan_evaluation, plan_training
from stgrpo.planning.text import size
from stgrpo.planning.work import Demand, Work, configured
from stgrpo.rules import FrameRule

SEVEN, THREE = KNOWN["Qwen/Qwen2.5-VL-7B-Instruct"], KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"]
PAPER = Load(rows=8, prompt=1664, answer=768, clips=8, patches=4608)
N = 8_292_166_656


# The policy's dimensions.


@pytest.mark.parametrize(("model", "count"), [(SEVEN, N), (THREE, 3_754_622_976)])
def test_the_known_configurations_have_as_many_parameters_as_the_architecture(model: Dimensions, count: int):
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "intermediate_size": model.intermediate,
        "vocab_size": model.vocabulary,
    }
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
    config = Qwen2_5_VLConfig(
        text_config=text | {"tie_word_embeddings": model.tied},
        vision_config=vision | {"out_hidden_size": model.hidden},
        tie_word_embeddings=model.tied,
    )
    with torch.device("meta"):
        built = Qwen2_5_VLForConditionalGeneration(config)
    assert sum(p.numel() for p in built.parameters()) == model.parameters == count
    assert sum(p.numel() for p in built.model.visual.parameters()) == model.vision
    assert sum(p.numel() for p in built.model.language_model.layers[0].parameters()) == model.layer


def test_a_configuration_is_read_as_save_pretrained_writes_it_and_as_the_hub_has_it(policy_path: Path, tmp_path: Path):
    from safetensors import safe_open

    model = Dimensions.read(policy_path / "config.json")
    with safe_open(policy_path / "model.safetensors", "pt") as weights:
        assert model.parameters == sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118
    nested = json.loads((policy_path / "config.json").read_text())
    flat = {**nested, **nested.pop("text_config")}
    (tmp_path / "config.json").write_text(json.dumps(flat))
    assert Dimensions.read(tmp_path / "config.json") == model


def test_adapters_have_rank_times_the_widths_of_every_linear_layer_they_stand_on():
    """Of 28 layers: q and o 3584 to 3584, k and v 3584 to 512, gate and up 3584 to 18944, down 18944 to 3584."""
    widths = 2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18_944)
    assert widths == 90_112
    assert SEVEN.adapters(64) == 28 * 64 * widths == 161_480_704


def test_another_architecture_is_one_line(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    with pytest.raises(UserError, match=r"config.json: no 'vision_config', so no Qwen2.5-VL; expected"):
        Dimensions.read(tmp_path / "config.json")


# Its parts, by hand.


def test_zero3_spreads_what_stands_over_four_gpus():
    """16 bytes a parameter and 4 of the reference, a quarter on each: fp32 weights are their own masters."""
    memory = plan_training(SEVEN, PAPER, Engine(4, "zero3", 2))
    assert list(memory.phases) == ["answers", "reference", "forward", "backward", "optimizer"]
    for phase in memory.phases.values():
        assert phase["weights"] == phase["gradients"] == phase["reference"] == N
        assert phase["moments"] == 2 * N
        assert "masters" not in phase


def test_what_comes_and_goes_at_the_paper_s_sizes():
    memory = plan_training(SEVEN, PAPER, Engine(4, "zero3", 2)).phases
    embedding = 152_064 * 3584
    # A whole copy: matrices in bf16, the embedding in fp32. The other passes copy a layer at a time.
    assert memory["answers"]["whole copy"] == 2 * (N - embedding) + 4 * embedding
    layer = 3584 * (2 * 3584 + 2 * 512 + 3 * 18_944) + 3584 + 2 * 512 + 2 * 3584
    assert {memory[phase]["bf16 copies"] for phase in ("reference", "forward", "backward")} == {2 * layer}
    # 8 answers, 28 layers, 4 heads of 128: keys and values in bf16.
    assert memory["answers"]["key-value cache"] == 8 * (1664 + 768) * 28 * 4 * 128 * (2 + 2)
    assert memory["answers"]["logits"] == 8 * 152_064 * 40
    # 2 * 768 tokens, and 32768 words of the projection, in bf16.
    assert memory["forward"]["logits"] == (1536 * 32_768 + 3584 * 32_768) * 2
    # A layer's input in fp32, of 2 answers and 2 clips.
    assert memory["forward"]["layers' inputs"] == 4 * (2 * 2432 * 28 * 3584 + 2 * 4608 * 32 * 1280)
    assert memory["forward"]["gathered weights"] == 4 * 10**9
    # The larger one is the language model's, over 4864 tokens, and the mask: seven heads share keys, 769 places each.
    products = 10 * 3584 + 7 * 18_944
    assert memory["backward"]["one layer"] == 4864 * (12 * 3584 + 2 * products) + 2 * 7 * 769 * 2432 * 3
    assert memory["backward"]["gradients on their way"] == 4 * (embedding + 3584**2)
    assert memory["optimizer"]["gradients on their way"] == 4 * 10**9  # a sub-group; the share is twice as large


def test_an_allowance_is_added_to_every_phase():
    memory = plan_training(SEVEN, PAPER, Engine(4, "zero3", 2))
    for name, phase in memory.phases.items():
        rest = sum(size for part, size in phase.items() if part != "allowance")
        assert phase["allowance"] == 1.5 * 2**30 + round(rest / 20)
        assert memory.total(name) == rest + phase["allowance"]
    assert memory.peak == max(map(memory.total, memory.phases)) == memory.total(memory.largest)


def test_one_gpu_holds_twenty_bytes_a_parameter_and_no_gradients_while_it_answers():
    count = THREE.parameters
    memory = plan_training(THREE, PAPER, Engine()).phases
    standing = [memory["optimizer"][part] for part in ("weights", "moments", "reference", "gradients")]
    assert standing == [4 * count, 8 * count, 4 * count, 4 * count]
    assert "gradients" not in memory["answers"]
    assert "gradients on their way" not in memory["backward"]
    # Tied: the one matrix of embedding and projection is copied for the projection.
    assert memory["answers"]["bf16 copies"] == 2 * count
    several = plan_training(THREE, PAPER, Engine(2, "ddp")).phases
    assert several["backward"]["gradients on their way"] == 4 * count  # DDP's buckets


def test_zero2_keeps_masters_and_shares_moments_and_gradients():
    memory = plan_training(SEVEN, PAPER, Engine(4, "zero2")).phases
    assert memory["answers"]["weights"] == memory["answers"]["reference"] == 4 * N
    assert memory["answers"]["masters"] == N
    assert memory["answers"]["moments"] == 2 * N
    assert memory["backward"]["gradients"] == memory["optimizer"]["gradients on their way"] == N
    assert memory["backward"]["gradients on their way"] == 4 * (152_064 * 3584 + 10**9)


def test_without_a_reference_and_with_adapters_it_is_less():
    whole = plan_training(SEVEN, PAPER, Engine(4, "zero3"))
    assert "reference" not in plan_training(SEVEN, PAPER, Engine(4, "zero3", reference=False)).phases["answers"]
    adapters = plan_training(SEVEN, PAPER, Engine(4, "zero3", reference=False, trained=40_000_000))
    assert adapters.phases["forward"]["gradients"] == 40_000_000
    assert adapters.phases["forward"]["moments"] == 80_000_000
    assert adapters.peak < whole.peak - 4 * N + 10**9


def test_fp32_needs_no_copies_but_the_one_that_answers():
    memory = plan_training(SEVEN, replace(PAPER, bf16=False), Engine(4, "zero3")).phases
    assert memory["answers"]["whole copy"] == 4 * N
    assert "bf16 copies" not in memory["forward"]


@pytest.mark.parametrize(("bf16", "wide"), [(False, 4), (True, 2)])
def test_an_evaluation_holds_weights_and_cache_as_they_are_loaded(bf16: bool, wide: int):
    (phase,) = plan_evaluation(SEVEN, Load(16, 4608, 1024, 16, 16384, bf16)).phases.values()
    assert phase["weights"] == wide * N
    assert phase["key-value cache"] == 16 * 5632 * 28 * 512 * 2 * wide
    assert phase["logits"] == 16 * 152_064 * 40


def test_the_largest_layer_of_an_evaluation_is_either_model_s():
    (phase,) = plan_evaluation(SEVEN, Load(64, 4608, 1024, 64, 16384, bf16=False)).phases.values()
    # The language model's at the prompts, and the mask of a last token; the vision tower's, over 64 clips, is smaller.
    assert phase["one layer"] == 64 * 4608 * (12 * 3584 + 4 * (4 * 3584 + 3 * 18_944)) + 64 * 7 * 4608 * 5
    (phase,) = plan_evaluation(SEVEN, Load(64, 2000, 1024, 64, 16384, bf16=False)).phases.values()
    assert phase["one layer"] == 64 * 16384 * (12 * 1280 + 4 * (4 * 1280 + 3 * 3420) + 1176 * 4)


# What it is reckoned for.


def test_the_paper_s_training_and_evaluation_fit_into_80_gib():
    training, evaluation = gpu.fits(experiment("paper"))
    assert training.load == Load(rows=8, prompt=1152 + 512, answer=768, clips=8, patches=4 * 1152)
    assert (training.given, training.fits) == (80 << 30, True)
    assert 60 < training.memory.peak / 2**30 < 75
    assert evaluation.load == Load(rows=16, prompt=4096 + 512, answer=1024, clips=16, patches=4 * 4096)
    assert 30 < evaluation.memory.peak / 2**30 < 45


def test_one_gpu_of_80_gib_takes_3b_and_not_7b():
    rows = replace(PAPER, rows=32, clips=32)
    assert 75 << 30 < plan_training(THREE, rows, Engine()).peak < 80 << 30
    assert plan_training(SEVEN, rows, Engine()).peak > 160 << 30


def test_a_clip_takes_as_many_tokens_as_the_worst_of_the_usual_shapes():
    assert gpu.video_tokens(FrameRule()) == 8 * 12 * 12  # a small square becomes 336 x 336; 16:9 in HD takes 8 * 120
    assert gpu.video_tokens(FrameRule(max_frames=32, max_pixels=256 * 28 * 28)) == 16 * 256


def test_the_policy_that_is_there_counts(tmp_path: Path, monkeypatch, policy_path: Path):
    monkeypatch.chdir(tmp_path)
    assert dimensions_of(experiment("demo")) is None
    assert dimensions_of(experiment("paper")) == SEVEN
    Path("results/paper").mkdir(parents=True)
    Path("results/paper/policy").symlink_to(policy_path)
    assert dimensions_of(experiment("paper")) == Dimensions.read(policy_path / "config.json")


def test_gpu_memory_is_no_part_of_a_spec():
    assert not {"gpu_memory_gb", "needs"} & set(json.dumps(specs.TrainSpec.model_json_schema()).split('"'))


# What `doctor` says.


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, and nothing on the PATH."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def setting(chosen: Experiment, executor: Executor = "slurm") -> Setting:
    kinds: tuple[Need, ...] = ("train", "evaluate")
    needs: dict[Need, Demand] = {kind: configured(chosen.active, kind) for kind in kinds}
    return Setting(chosen, executor, False, Work(needs, [], [("grpo", 0)]))


def with_needs(**changes: Resources) -> Experiment:
    chosen = experiment("paper")
    scale = chosen.active.model_copy(update={"needs": {**chosen.active.needs, **changes}})
    return chosen.model_copy(update={"scales": {**chosen.scales, "paper": scale}})


def said(where: Setting) -> list[tuple[str, str]]:
    return [(found.level, str(found)) for found in gpu.memory(where)]


def answering_with(monkeypatch: pytest.MonkeyPatch, peak: int) -> None:
    """Plans of so many bytes."""
    plan: Callable[..., Memory] = lambda *_: Memory({"answers": {"weights": peak}})  # noqa: E731
    monkeypatch.setattr(gpu, "plan_training", plan)
    monkeypatch.setattr(gpu, "plan_evaluation", plan)


def test_doctor_refuses_what_does_not_fit(monkeypatch):
    answering_with(monkeypatch, 80 << 30)
    wanted = "takes 80 GiB of each at its peak (answers), one has 80 GiB"
    assert said(setting(experiment("paper"))) == [("ok", f"a training {wanted}"), ("ok", f"an evaluation {wanted}")]
    answering_with(monkeypatch, (80 << 30) + 1)
    assert [level for level, _ in said(setting(experiment("paper")))] == ["missing", "missing"]
    assert said(setting(experiment("demo"))) == []


def test_doctor_judges_the_largest_of_the_trainings_that_are_to_run():
    """Adapters have no reference, and moments and gradients of 2 % of the weights: they fit where all do not."""
    need = Resources(gpus=4, cpus=4, gpu_memory_gb=48)
    where = setting(with_needs(train=need, evaluate=Resources()))

    def of(*cells: str) -> tuple[str, str]:
        work = replace(where.work, trainings=[(cell, 0) for cell in cells])
        ((level, text),) = said(replace(where, work=work))
        return level, text

    load = gpu.training_load(where.experiment.active)
    adapters = plan_training(SEVEN, load, Engine(4, "zero3", 2, reference=False, trained=161_480_704))
    level, text = of("st-grpo-lora")
    assert (level, f"a training takes {size(adapters.peak)} of each" in text) == ("ok", True)
    assert of("st-grpo") == of("st-grpo-lora", "st-grpo") == of("st-grpo", "st-grpo-lora")
    assert of("st-grpo")[0] == "missing"


def test_a_gpu_that_no_one_described_is_a_note(monkeypatch):
    answering_with(monkeypatch, 5 << 30)
    chosen = with_needs(train=Resources(gpus=4, cpus=4), evaluate=Resources())
    assert said(setting(chosen)) == [
        (
            "note",
            "a training takes 5 GiB of each at its peak (answers); say what one has: needs.train.gpu_memory_gb",
        )
    ]


def prints(tmp_path: Path, printed: str) -> None:
    """As nvidia-smi does."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{printed}\\n'\n")
    program.chmod(0o755)


FIVE = "4096\n81559\n81559\n81559\n81559"  # one of them is for a display


@pytest.mark.parametrize(
    ("printed", "visible", "levels"),
    [
        (FIVE, None, ["ok", "ok"]),
        (FIVE, "1,2,3,4", ["ok", "ok"]),
        (FIVE, "0,1,2,3", ["missing", "ok"]),
        (FIVE, "0", ["missing", "missing"]),
        (FIVE, "", ["ok", "ok"]),  # none: that is said elsewhere
        ("40960\n81559\n81559\n81559", None, ["missing", "ok"]),
        ("[N/A]", None, ["ok", "ok"]),
        ("", None, ["ok", "ok"]),
    ],
)
def test_the_gpus_that_a_job_would_take_count(tmp_path: Path, monkeypatch, printed: str, visible, levels: list[str]):
    """The four largest for a training, one for an evaluation; else what config.yaml says: 80."""
    answering_with(monkeypatch, 60 << 30)
    prints(tmp_path, printed)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [found for found, _ in said(setting(experiment("paper"), "local"))] == levels
    assert [found for found, _ in said(setting(experiment("paper"), "slurm"))] == ["ok", "ok"]
