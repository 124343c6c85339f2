"""What a result says of where it comes from."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from stgrpo import __main__, provenance
from stgrpo.commands import inherited, model_files
from stgrpo.files import write_json

FILES = [{"path": "b", "size": 2, "sha256": "22"}, {"path": "a", "size": 1, "sha256": "11"}]


def test_a_block_has_the_same_keys_wherever_it_stands():
    block = provenance.provenance("abc")
    assert {"spec", "seed", "device", "data", "inputs", "outputs", "commit", "dirty", "image", "packages"} <= set(block)
    assert block["packages"]["statsmodels"]
    assert provenance.provenance("abc", seed=3, device="NVIDIA")["seed"] == 3


def test_a_lock_hash_stands_for_paths_sizes_and_contents_in_any_order():
    by_hand = hashlib.sha256(b'[["a",1,"11"],["b",2,"22"]]').hexdigest()[:16]
    assert provenance.lock_hash(FILES) == provenance.lock_hash(FILES[::-1]) == by_hand
    for changed in ({"path": "c"}, {"size": 3}, {"sha256": "33"}):
        assert provenance.lock_hash([FILES[0] | changed, FILES[1]]) != by_hand


def test_data_is_inherited_with_the_files_that_say_so(tmp_path: Path):
    write_json(tmp_path / "train.provenance.json", {"data": {"video-r1": "1"}})
    write_json(tmp_path / "made_by.json", {"provenance": {"data": {"qwen": "2"}}})
    names = ("train.provenance.json", "made_by.json", "by_hand.json")
    data, said = inherited(*(tmp_path / name for name in names))
    assert data == {"video-r1": "1", "qwen": "2"}
    assert said == {
        str(tmp_path / name): hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names[:2]
    }


def test_all_of_a_model_is_hashed_but_what_is_said_of_it(tmp_path: Path):
    for name in ("model.safetensors", "config.json", "chat_template.jinja", "made_by.json", ".snakemake_timestamp"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in model_files(tmp_path)] == ["model.safetensors", "chat_template.jinja", "config.json"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone in small."""
    for name in ("stgrpo/provenance.py", "envs/zero3.json", "workflow/rules/train.smk", "config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "stgrpo" / "provenance.py"))
    monkeypatch.delenv(provenance.COMMIT, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "dirty"),
    [
        ("stgrpo/provenance.py", True),
        ("stgrpo/new.py", True),
        ("envs/zero3.json", True),
        ("workflow/rules/train.smk", True),
        ("config.yaml", False),
        ("workflow/resources/locks/mmvu.json", False),
    ],
)
def test_dirty_is_what_decides_results_and_no_spec_names(repository: Path, name: str, dirty: bool):
    read = provenance.commit.__wrapped__
    assert read()["dirty"] is False
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text("2")
    assert read()["dirty"] is dirty


def test_the_commit_is_read_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What is committed while a verb works for a day is not what it has read."""
    order = []
    monkeypatch.setattr(__main__, "commit", lambda: order.append("commit"))
    verb = __main__.load_verb("publish")
    monkeypatch.setattr(verb, "run", lambda args: order.append("work"))
    words = ["--scale", "s", "--result", str(tmp_path), "--out", str(tmp_path)]
    assert __main__.main(["publish", *words]) == 0
    assert order == ["commit", "work"]
