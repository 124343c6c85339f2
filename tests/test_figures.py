"""Figure 3 from the trainings' metrics, and how far a long loop says it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import experiment

from stgrpo.__main__ import main
from stgrpo.config import Panel
from stgrpo.report.contents import FigureSpec, figure_spec
from stgrpo.report.figures import running_mean

FIGURE = FigureSpec(
    name="figure3",
    scale="demo",
    caption="Spread.",
    metric="reward_std",
    label="reward std",
    panels=[Panel(title="GRPO", cells=["grpo", "st-grpo"])],
    specs={"grpo/seed0": "aaaa", "grpo/seed1": "bbbb", "st-grpo/seed0": "cccc"},
)


def runs(folder: Path, hashes: dict[str, str] = FIGURE.specs, metric: str = "reward_std") -> list[str]:
    """Folders of trainings as the verb finds them."""
    for number, (name, made) in enumerate(hashes.items()):
        run = folder / "cells" / name
        run.mkdir(parents=True)
        (run / "train.json").write_text(json.dumps({"provenance": {"spec": made}}))
        rows = [{"step": step, metric: 0.1 * number + 0.01 * step} for step in range(1, 21)]
        (run / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(folder / "cells" / name) for name in hashes]


def draw(folder: Path, figure: FigureSpec, trainings: list[str]) -> int:
    words = ["figure", "--spec", figure.model_dump_json(), "--runs", *trainings]
    return main([*words, "--pdf", str(folder / "f.pdf"), "--png", str(folder / "f.png")])


def test_both_forms_are_drawn_and_equal_data_give_equal_bytes(tmp_path: Path):
    trainings = runs(tmp_path)
    assert draw(tmp_path, FIGURE, trainings) == 0
    first = [(tmp_path / name).read_bytes() for name in ("f.pdf", "f.png")]
    assert first[0].startswith(b"%PDF")
    assert first[1].startswith(b"\x89PNG")
    assert draw(tmp_path, FIGURE, trainings) == 0
    assert [(tmp_path / name).read_bytes() for name in ("f.pdf", "f.png")] == first


def test_a_training_of_another_spec_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    trainings = runs(tmp_path, {**FIGURE.specs, "st-grpo/seed0": "dddd"})
    assert draw(tmp_path, FIGURE, trainings) == 2
    assert capsys.readouterr().err == (
        f"figure: {tmp_path}/cells/st-grpo/seed0/train.json: made by spec dddd, the configuration asks for cccc; "
        "train it again (snakemake TARGET -R train)\n"
    )
    assert not (tmp_path / "f.pdf").exists()


def test_an_unknown_metric_is_named(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert draw(tmp_path, FIGURE, runs(tmp_path, metric="reward")) == 2
    assert capsys.readouterr().err.endswith(
        "cells/grpo/seed0/train.jsonl: step 1 has no 'reward_std'; known: reward, step\n"
    )


def test_running_mean_by_hand():
    """Three neighbours, two at the ends."""
    assert running_mean(np.array([1.0, 2.0, 6.0, 4.0]), 3).tolist() == pytest.approx([1.5, 3.0, 4.0, 5.0])
    assert running_mean(np.array([1.0, 5.0]), 1).tolist() == [1.0, 5.0]


def test_figure_3_compares_grpo_and_dr_grpo_with_their_st_forms():
    panels = figure_spec(experiment(), "figure3").panels
    assert [panel.cells for panel in panels] == [["grpo", "st-grpo"], ["dr-grpo", "st-dr-grpo"]]
    assert [panel.cells for panel in figure_spec(experiment("smoke"), "figure3").panels] == [
        ["grpo", "st-grpo"],
        ["dr-grpo"],
    ]


def test_a_log_holds_plain_lines_of_progress(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """Not a terminal: a line when patience is over, and one at the end."""
    from stgrpo import progress

    now = iter([0.0, 5.0, 20.0, 21.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.Progress(40, "question", done=10) as shown:
        for _ in range(3):
            shown.update(5)
        shown.update(15, "accuracy 0.50")
    out, err = capsys.readouterr()
    assert out == "question 20/40, 20 s\nquestion 40/40: accuracy 0.50, 30 s\n"
    assert err == ""
