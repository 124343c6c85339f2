"""Drawings for a page: they are told apart, hold text as text, and show the numbers that they are given."""

from xml.etree import ElementTree

import numpy as np
import pytest
from test_figures import FIGURE

from stgrpo.config import Panel
from stgrpo.report.curves import METRICS, Training, swatches, training_curves
from stgrpo.report.figures import Curve, panels_svg, running_mean
from stgrpo.report.svg import drawing, line_style, to_svg

HOSTILE = "<script>alert('$x$')</script> & </svg>"


def trainings(cells: tuple[str, ...] = ("grpo", "st-grpo"), seeds: int = 2, steps: int = 30) -> list[Training]:
    found = []
    for number, (cell, seed) in enumerate((cell, seed) for cell in cells for seed in range(seeds)):
        rng = np.random.default_rng(number)
        found.append(Training(cell, seed, [{name: float(rng.random()) for name in METRICS} for _ in range(steps)]))
    return found


def elements(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter())


def test_no_drawing_of_a_page_points_into_another_one():
    """Every id once in the page, and every reference to an id of the same drawing."""
    panels = [Panel(title="GRPO", cells=["grpo", "st-grpo"]), Panel(title="The same", cells=["grpo", "st-grpo"])]
    curves = [Curve(t.cell, t.seed, tuple(row["reward_std"] for row in t.rows)) for t in trainings()]
    figure = FIGURE.model_copy(update={"panels": panels})
    page = [*panels_svg(figure, curves), *training_curves(trainings()).values()]
    assert len(page) == 2 + len(METRICS)
    seen: set[str] = set()
    for svg in page:
        ids = [element.attrib["id"] for element in elements(svg) if "id" in element.attrib]
        assert len(ids) == len(set(ids)) and not seen & set(ids)
        seen |= set(ids)
        pointed = svg.count("url(#") + svg.count('href="#')
        assert 0 < pointed == sum(svg.count(f"url(#{one})") + svg.count(f'href="#{one}"') for one in ids)


def test_text_stays_text_and_nothing_reaches_into_the_page():
    with drawing(3, 2) as (figure, (axis,)):
        axis.set(title=HOSTILE, ylabel=HOSTILE)
        axis.plot([1, 2], label=HOSTILE)
        axis.legend()
        svg = to_svg(figure, "hostile", HOSTILE)
    found = elements(svg)
    assert svg.startswith("<svg ") and "<script" not in svg and svg.count("</svg>") == 1
    assert {element.tag.split("}")[1] for element in found} <= {
        *("svg", "g", "defs", "clipPath", "rect", "path"),
        "use",
        "text",
    }
    assert [element.text for element in found if element.tag.endswith("text")].count(HOSTILE) == 3
    assert found[0].attrib["aria-label"] == HOSTILE
    assert not any(name.startswith("on") for element in found for name in element.attrib)
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_equal_data_give_equal_drawings():
    assert training_curves(trainings()) == training_curves(trainings())


def axes(monkeypatch: pytest.MonkeyPatch, given: list[Training]):
    """The axis of every drawing, by metric."""
    from matplotlib import pyplot

    kept = []
    with monkeypatch.context() as open_figures:
        open_figures.setattr(pyplot, "close", kept.append)
        names = list(training_curves(given))
    for figure in kept:
        pyplot.close(figure)
    return {name: figure.axes[0] for name, figure in zip(names, kept, strict=True)}


def test_curves_are_running_means_over_the_seeds(monkeypatch: pytest.MonkeyPatch):
    """Thirty steps: over three neighbours."""
    given = trainings()
    for name, axis in axes(monkeypatch, given).items():
        assert axis.get_title() == METRICS[name]
        assert len(axis.lines) == len(axis.collections) == 2
        for number, line in enumerate(axis.lines):
            both = [[row[name] for row in t.rows] for t in given[2 * number : 2 * number + 2]]
            assert line.get_xdata().tolist() == list(range(1, 31))
            assert line.get_ydata() == pytest.approx(running_mean(np.mean(both, 0), 3))
            assert line.get_color() == line_style(number)["color"]


def test_a_metric_is_drawn_of_those_that_have_it(monkeypatch: pytest.MonkeyPatch):
    """No KL where beta is 0; one seed has no band."""
    without = Training("st-grpo", 0, [{"reward": 1.0}] * 30)
    found = axes(monkeypatch, [*trainings(("grpo",), seeds=1), without])
    assert len(found) == len(METRICS)
    assert [len(found[name].lines) for name in ("reward", "kl")] == [2, 1]
    assert not any(axis.collections for axis in found.values())
    assert list(training_curves([without])) == ["reward"]


def test_a_long_training_takes_no_more_points_than_are_seen(monkeypatch: pytest.MonkeyPatch):
    line = axes(monkeypatch, trainings(("grpo",), steps=1000))["reward"].lines[0]
    assert 120 <= len(line.get_xdata()) <= 150
    assert line.get_xdata()[:3].tolist() == [1, 8, 15]


def test_swatches_are_the_lines_of_the_cells():
    cells = [f"cell-{number}" for number in range(12)]
    found = swatches(cells)
    assert list(found) == cells
    assert len(set(found.values())) == 12
    assert all(line_style(number)["color"] in found[cell] for number, cell in enumerate(cells))
