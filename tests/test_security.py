"""Nothing that comes with data, models or configuration is run: neither by a shell nor by Python.

Each attack would leave a file, the canary. Archives are in tests/test_sources.py, the token in tests/test_hub.py, the
report in tests/test_page.py, formulas in tests/test_csv.py.
"""

import ast
import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import spec_of
from support import ROOT, copy_of_the_tree, snakemake
from test_resume import as_files, verb

from stgrpo.__main__ import main
from stgrpo.errors import UserError
from stgrpo.loading import load_experiment
from stgrpo.policy.model import load_policy
from stgrpo.rl.trainer import STGRPOTrainer

# In each kind of quotes, and without any, a shell would make the canary of it.
NASTY = """$(touch pwned) `touch pwned`; touch pwned | tee pwned & " $(touch pwned) " ' ; touch pwned ; '
touch pwned
"""
NUMBERS_AND_NAMES = {  # what stands in a shell line without quotes: numbers, hashes, and names of [a-z0-9-]
    *("threads", "wildcards.cell", "wildcards.seed", "params.specs", "params.threads"),
    *("resources.rows", "resources.gpu", "resources.nodes", "resources.processes", "resources.micro_rows"),
    *("resources.save_steps", "resources.sharing"),
}


class Evil:
    """Unpickled, it makes the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def test_the_canary_sings(tmp_path: Path):
    """Or the tests below would show nothing."""
    pickle.loads(pickle.dumps(Evil(tmp_path / "pwned")))
    assert (tmp_path / "pwned").exists()


def test_every_text_in_a_shell_line_is_quoted():
    for path in [*(ROOT / "workflow/rules").glob("*.smk"), ROOT / "workflow/Snakefile"]:
        for shell in re.findall(r"^    shell:\n((?:        .*\n)+)", path.read_text(), re.MULTILINE):
            found = re.findall(r"\{([^{}]+)\}", shell)
            assert found
            assert {name for name in found if not name.endswith(":q")} <= NUMBERS_AND_NAMES, path


def test_no_code_of_ours_starts_a_shell_or_evaluates_a_text():
    forbidden = {"system", "popen", "eval", "exec", "getoutput"}
    for path in (ROOT / "stgrpo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert not [word for word in node.keywords if word.arg == "shell"], path
                named = isinstance(node.func, ast.Name) and node.func.id in forbidden
                of_os = isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in {"os.system", "os.popen"}
                assert not named and not of_os, f"{path}:{node.lineno}"


@pytest.mark.workflow
def test_a_prompt_reaches_no_shell(tmp_path: Path):
    """Through Snakemake, in a dry run and in a job, with all that a shell knows."""
    folder = copy_of_the_tree(tmp_path)
    raw = yaml.safe_load((folder / "config.yaml").read_text())
    raw["scale"] = "smoke"
    raw["scales"]["smoke"]["warm"]["policy"]["max_steps"] = 1
    raw["scales"]["smoke"]["prompt"] = NASTY + "{question}"
    (folder / "config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    everything = snakemake(folder, "-n", "-p")
    assert everything.returncode == 0, everything.stderr
    done = snakemake(folder, "results/smoke/policy")
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads((folder / "results/smoke/policy/made_by.json").read_text())
    assert made["spec"]["prompt"] == NASTY + "{question}"
    assert not list(folder.rglob("pwned"))


@pytest.mark.parametrize("name", ["$(touch pwned).sif", "a.sif; touch pwned", "a.sif\ntouch pwned", "--bind=/ a.sif"])
def test_an_image_s_name_reaches_no_shell(name: str):
    """Snakemake writes it into a line of shell without quotes."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"container": name}
    with pytest.raises(UserError, match=r"^config\.yaml: container: "):
        load_experiment(raw)


def test_yaml_makes_no_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("scale: !!python/object/apply:os.mkdir [pwned]\n")
    assert main(["plan"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("plan: config.yaml: no YAML: could not determine a constructor for the tag")
    assert said.count("\n") == 1
    assert not Path("pwned").exists()


def code_beside(folder: Path, canary: Path) -> None:
    """A model that asks for its own code, as the Hub's `trust_remote_code` would run it."""
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(canary)!r})\nclass Evil: pass\n")
    names = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    for name in ("config.json", "tokenizer_config.json"):
        said = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(said | {"auto_map": names}))


@pytest.mark.parametrize("known", [True, False], ids=["a known type", "a type of its own"])
def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path, policy_path: Path, known: bool):
    folder, canary = shutil.copytree(policy_path, tmp_path / "model"), tmp_path / "pwned"
    code_beside(folder, canary)
    if known:
        assert load_policy(folder).model.config.model_type == "qwen2_5_vl"
    else:
        said = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(said | {"model_type": "evil"}))
        with pytest.raises(UserError, match="is a model of type 'evil', expected 'qwen2_5_vl'"):
            load_policy(folder)
    assert not canary.exists()


def test_weights_that_are_a_pickle_are_refused(tmp_path: Path, policy_path: Path):
    folder, canary = shutil.copytree(policy_path, tmp_path / "model"), tmp_path / "pwned"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(canary)))
    with pytest.raises(UserError, match="cannot be read as Qwen2_5_VL"):
        load_policy(folder)
    assert not canary.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"])
def test_a_pickle_in_a_checkpoint_is_not_run(name: str, tmp_path, questions, scores, policy_path, monkeypatch, capfd):
    """A training is interrupted after its first checkpoint, of which a file is then replaced."""
    inputs, spec, canary = as_files(tmp_path, questions, scores, policy_path), spec_of(steps=2), tmp_path / "pwned"
    words = verb(spec, tmp_path / "out", inputs, "--micro-rows=16", "--save-steps=1")
    stock = STGRPOTrainer._save_checkpoint

    def save(trainer: STGRPOTrainer, *args: Any) -> None:
        stock(trainer, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(STGRPOTrainer, "_save_checkpoint", save)
        with pytest.raises(SystemExit, match="it goes on from step 1"):
            main(words)
    state = tmp_path / "out/state/checkpoint-1" / name
    assert state.exists()
    torch.save(Evil(canary), state)
    capfd.readouterr()
    ended = main(words)
    assert not canary.exists()
    said = capfd.readouterr()
    if name == "training_args.bin":  # nobody reads it
        assert ended == 0
    else:
        assert ended == 2
        assert f"{state.parent}: cannot be gone on with" in said.err.splitlines()[-1]
    assert "Traceback" not in said.err
