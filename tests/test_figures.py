"""Figure 3 from the trainings' metrics."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support import experiment, need

from stgrpo.__main__ import main
from stgrpo.config import Panel
from stgrpo.report.contents import FigureSpec, figure_spec
from stgrpo.report.figures import Curve, band, mechanism, running_mean

FIGURE = FigureSpec(
    name="figure3",
    scale="demo",
    comparable=False,
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


def test_every_curve_stands_under_its_own_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By the numbers drawn and by the names read in the file; the trainings come in no order.

    As written by `runs`, a value is 0.1 times the training's number and 0.01 times its step, so that the mean over 20
    steps is 0.105 more than the number gives; of each cell with two seeds it is that of both,
    and the interval half their difference, 0.05, times 12.706 (Student's, one degree of freedom) to either side.
    """
    need("pdftotext")
    from matplotlib import pyplot

    specs = {"grpo/seed0": "a", "grpo/seed1": "b", "st-grpo/seed0": "c", "dr-grpo/seed0": "d", "dr-grpo/seed1": "e"}
    panels = [Panel(title="GRPO", cells=["grpo", "st-grpo"]), Panel(title="Dr.GRPO", cells=["dr-grpo"])]
    figure = FIGURE.model_copy(update={"panels": panels, "specs": specs})
    kept = []
    monkeypatch.setattr(pyplot, "close", kept.append)
    assert draw(tmp_path, figure, runs(tmp_path, specs)[::-1]) == 0
    monkeypatch.undo()
    pyplot.close(kept[0])

    wanted = [
        ("GRPO", {"grpo (mean 0.155 [-0.480, 0.790], 2 seeds)": 0.05, "st-grpo (mean 0.305)": 0.2}),
        ("Dr.GRPO", {"dr-grpo (mean 0.455 [-0.180, 1.090], 2 seeds)": 0.35}),
    ]
    steps = np.arange(1, 21)
    for axis, (title, means) in zip(kept[0].axes, wanted, strict=True):
        assert axis.get_title() == title
        points, curves = axis.lines[::2], axis.lines[1::2]
        assert [curve.get_label() for curve in curves] == list(means)
        for dots, curve, offset in zip(points, curves, means.values(), strict=True):
            assert dots.get_xdata().tolist() == curve.get_xdata().tolist() == steps.tolist()
            assert dots.get_ydata().tolist() == pytest.approx((offset + 0.01 * steps).tolist())
            # over a tenth of the steps: two neighbours, one at the start
            smooth = [offset + 0.01, *(offset + 0.01 * (step - 0.5) for step in range(2, 21))]
            assert curve.get_ydata().tolist() == pytest.approx(smooth)
            assert dots.get_color() == curve.get_color()
        bands = [drawn.get_paths()[0].get_extents() for drawn in axis.collections]
        assert len(bands) == sum("2 seeds" in label for label in means)
        for extent, offset in zip(bands, means.values(), strict=False):
            assert extent.y0 == pytest.approx(offset + 0.01 - 12.706 * 0.05, abs=1e-4)
            assert extent.y1 == pytest.approx(offset + 0.01 * 19.5 + 12.706 * 0.05, abs=1e-4)
        low, high = axis.get_ylim()
        assert 0 < low < 0.06 and 0.55 < high < 0.6, "the points of all panels, and not the bands"
        colours = [curve.get_color() for curve in curves]
        assert len(set(colours)) == len(colours)
        assert [line.get_color() for line in axis.get_legend().get_lines()] == colours
        assert [text.get_text() for text in axis.get_legend().get_texts()] == list(means)
    read = subprocess.run(["pdftotext", "-layout", tmp_path / "f.pdf", "-"], capture_output=True, text=True, check=True)
    for _, means in wanted:
        assert all(label in read.stdout for label in means), read.stdout


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


def curves(cell: str, *means: float) -> list[Curve]:
    """One a seed, around its mean."""
    return [Curve(cell, seed, (mean - 0.1, mean, mean + 0.1)) for seed, mean in enumerate(means)]


def test_difference_is_paired_by_seed():
    """0.1, 0.2 and 0.3: their mean, and to either side 4.303 (Student's, two degrees) times 0.1 / sqrt(3)."""
    given = [*curves("st-grpo", 0.6, 0.9, 0.6), *curves("grpo", 0.5, 0.7, 0.3)]
    (found,) = mechanism(FIGURE, given[::-1])
    assert (found.panel, found.cell, found.baseline) == ("GRPO", "st-grpo", "grpo")
    half = 4.303 * 0.1 / 3**0.5
    assert (found.estimate.low, found.estimate.value, found.estimate.high) == pytest.approx(
        (0.2 - half, 0.2, 0.2 + half), abs=1e-4
    )
    assert found.estimate.seeds == 3


def test_one_seed_has_a_difference_without_an_interval():
    (found,) = mechanism(FIGURE, [*curves("st-grpo", 0.6), *curves("grpo", 0.5)])
    assert (found.estimate.value, found.estimate.low, found.estimate.seeds) == (pytest.approx(0.1), None, 1)
    alone = FIGURE.model_copy(update={"panels": [Panel(title="GRPO", cells=["grpo"])]})
    assert mechanism(alone, curves("grpo", 0.5)) == []


def test_the_verb_tells_the_difference(tmp_path: Path, capsys: pytest.CaptureFixture):
    """As `runs` numbers them: seed 0 of both cells 0.2 apart, seed 1 without a partner; then 0.1 and 0.2 apart."""
    assert draw(tmp_path, FIGURE, runs(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[1] == "GRPO: st-grpo - grpo +0.2000 (one seed)"
    both = dict.fromkeys(("grpo/seed0", "st-grpo/seed0", "grpo/seed1", "dr-grpo/seed0", "st-grpo/seed1"), "aaaa")
    assert draw(tmp_path, FIGURE.model_copy(update={"specs": both}), runs(tmp_path / "both", both)) == 0
    said = capsys.readouterr().out.splitlines()[1]
    assert said == "GRPO: st-grpo - grpo +0.1500 (-0.4853 to +0.7853 over 2 seeds)"


def test_band_by_hand():
    """Three seeds at two steps: mean 2, standard deviation 1 and 2; Student's quantile of two degrees is 4.303."""
    low, high = band(np.array([[1.0, 0.0], [2.0, 2.0], [3.0, 4.0]]))
    assert low == pytest.approx(np.array([2 - 4.303 / 3**0.5, 2 - 2 * 4.303 / 3**0.5]), abs=1e-3)
    assert high == pytest.approx(np.array([2 + 4.303 / 3**0.5, 2 + 2 * 4.303 / 3**0.5]), abs=1e-3)


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
