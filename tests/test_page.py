"""The report page in a real browser: inert whatever its texts contain, whole on a phone, complete."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from results_folder import write_results
from support import ROOT, need

from stgrpo.__main__ import main
from stgrpo.config import Experiment
from stgrpo.loading import load_experiment
from stgrpo.report.page import SECTIONS
from stgrpo.report.report_spec import ReportSpec

HOSTILE = [
    "<script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 2">',
    "javascript:window.ran=3",
    "<a href=\"javascript:window.ran=4\" onmouseover='window.ran=5'>here</a>",
    "{{7*7}} {% raw %} ${7*7}",
    "</style></title></textarea><svg onload=window.ran=6>",
    "--> ]]> <![CDATA[ <!-- &lt;b&gt; &amp;",
    "\x00\x1b[31m\x07 control\r\nand a line",
    "\u202egnp.exe\u2066 turned around \u200b",
    "half of a pair \ud83d",
    "מימין לשמאל",
    "https://example.org <iframe src=https://example.org></iframe> <link rel=stylesheet href=https://example.org/x.css>",
    "<meta http-equiv=refresh content='0;url=https://example.org'> <base href=https://example.org/>",
    "x" * 5000,
]
WIDTHS = {"phone": 390, "laptop": 1280}
MB = 1_000_000
REPORTED = ["--reported", str(ROOT / "workflow/resources/reported.csv")]


def hostile_experiment(scale: str = "smoke") -> Experiment:
    """The project's own, with hostile words wherever it holds words."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"scale": scale}
    for number, (name, table) in enumerate(raw["tables"].items()):
        table["caption"] = HOSTILE[number]
        for position, row in enumerate(table["rows"]):
            row["label"] = f"{position} {HOSTILE[(number + position) % len(HOSTILE)]}"
        table["averages"][0]["title"] = f"Avg. {HOSTILE[0]} {name}"
    for number, benchmark in enumerate(raw["benchmarks"].values()):
        benchmark["title"] = HOSTILE[number]
    figure = raw["figures"]["figure3"]
    figure["label"] = HOSTILE[0]
    for panel in figure["panels"]:
        panel["title"] = HOSTILE[1]
    return load_experiment(raw)


def make_page(spec: ReportSpec, folder: Path) -> Path:
    words = ["report", "--spec", spec.model_dump_json(), "--results", str(folder)]
    assert main([*words, *REPORTED, "--out", str(folder / "report.html")]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run whose texts are all hostile, one answer of them of 10 MB."""
    folder = tmp_path_factory.mktemp("page") / "results" / "smoke"
    spec = write_results(hostile_experiment(), folder, HOSTILE)
    answers = folder / "cells/grpo/seed0/eval/all.jsonl"
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    for row in rows:
        row["text"] = HOSTILE[0] * (10 * MB // len(HOSTILE[0])) if row["question"] == "mmvu-0" else row["text"]
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return make_page(spec.model_copy(update={"questions": 24}), folder)  # all there are


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    need("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def shown(browser: Any, path: Path) -> Iterator[Any]:
    """The page, open from its file, and in `seen` all that it does."""
    page = browser.new_page(viewport={"width": WIDTHS["laptop"], "height": 900})
    page.seen = []
    page.on("dialog", lambda dialog: (page.seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda message: page.seen.append(f"console {message.text}"))
    page.on("pageerror", lambda error: page.seen.append(f"error {error}"))
    page.on("request", lambda request: page.seen.append(request.url))
    page.on("requestfailed", lambda request: page.seen.append(f"failed {request.url} {request.failure}"))
    page.on("popup", lambda popup: page.seen.append("popup"))
    page.goto(path.as_uri())
    yield page
    page.close()


def unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def test_nothing_runs_and_nothing_is_fetched(shown: Any, path: Path):
    unfold(shown)
    shown.mouse.wheel(0, 100_000)
    shown.wait_for_timeout(300)
    assert [what for what in shown.seen if not what.startswith("data:image/")] == [path.as_uri()]
    assert shown.evaluate("window.ran") is None
    odd = (
        "document.querySelectorAll('script, iframe, object, embed, link, base, form, meta[http-equiv=refresh]').length"
    )
    assert shown.evaluate(odd) == 0
    attributes = shown.evaluate("[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())")
    assert not {name for name in attributes if name.startswith("on") or name == "style"}
    links = shown.evaluate("[...document.querySelectorAll('[href], [src]')].map(e => e.href || e.src)")
    assert {re.sub(r"(#|data:image/\w+).*", r"\1", link.removeprefix(path.as_uri())) for link in links} == {
        "#",
        "data:image/jpeg",
        "data:image/svg",
    }


def test_its_policy_forbids_what_it_does_not_hold(shown: Any):
    """If a script or a picture from elsewhere did get in, the browser would not let it act."""
    shown.evaluate("""() => {
        const script = document.createElement('script'), image = new Image();
        script.textContent = 'window.ran = 1';
        image.src = 'https://example.org/x.png';
        document.body.append(script, image);
        document.body.setAttribute('onclick', 'window.ran = 2');
        document.body.click();
    }""")
    shown.wait_for_timeout(200)
    assert shown.evaluate("window.ran") is None
    assert len([what for what in shown.seen if "Content Security Policy" in what]) == 3
    assert "failed https://example.org/x.png csp" in shown.seen


def test_texts_show_as_they_are(shown: Any):
    unfold(shown)
    text = shown.inner_text("main")
    for words in (*HOSTILE[:7], HOSTILE[10], HOSTILE[11], HOSTILE[12], "[U+0000][U+001B][31m[U+0007] control"):
        assert words in text, words
    assert "[U+202E]gnp.exe[U+2066] turned around [U+200B]" in text
    assert "half of a pair [U+D83D]" in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)


def test_a_long_answer_is_cut(shown: Any, path: Path):
    assert path.stat().st_size < 3 * MB
    unfold(shown)
    assert "9,987,980 more characters" in re.sub(r"\s+", " ", shown.inner_text("#answers"))


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_is_as_wide_as_the_screen(shown: Any, width: int):
    shown.set_viewport_size({"width": width, "height": 844})
    for state in ("folded", "unfolded"):
        wide = shown.evaluate("document.scrollingElement.scrollWidth")
        assert wide <= width, state
        unfold(shown)


def test_every_section_is_there_and_listed(shown: Any):
    assert shown.evaluate("[...document.querySelectorAll('main > section')].map(s => s.id)") == list(SECTIONS)
    listed = shown.evaluate("[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))")
    assert listed == [f"#{name}" for name in SECTIONS]
    for name in SECTIONS:
        assert len(shown.inner_text(f"#{name}")) > 70, name
    assert shown.evaluate("document.querySelectorAll('#answers .question').length") == 24
    assert shown.evaluate("document.querySelectorAll('#frames .question').length") == 3


def test_style_and_pictures_are_let_in(shown: Any):
    """The policy names the style sheet by its hash: a changed byte, and the page stands there naked."""
    assert shown.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "auto"
    unfold(shown)
    shown.wait_for_timeout(200)
    sizes = shown.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(sizes) > 50
    assert all(sizes)


def test_numbers_and_texts_stand_where_they_belong(browser: Any, tmp_path: Path):
    """By `results_folder` run number k answers of four questions those right whose number is -k modulo 3, so 2, 1, 1.

    Runs are base (number 0), then two seeds each of grpo (1, 2), st-grpo (3, 4) and dr-grpo (5, 6).
    """
    raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"scale": "smoke"}
    raw["scales"]["smoke"]["seeds"] = [0, 1]
    folder = tmp_path / "smoke"
    spec = write_results(load_experiment(raw), folder, [f"text {number}" for number in range(5000)])
    page = browser.new_page()
    page.goto(make_page(spec, folder).as_uri())

    def texts(selector: str) -> list[str]:
        return page.eval_on_selector_all(selector, "found => found.map(one => one.innerText.trim())")

    assert texts(".facts b")[:5] == ["4", "6", "2", "6", "168"]
    assert texts(".facts span")[:5] == ["cells", "trainings", "seeds", "benchmarks", "answers scored"]
    last = "#tables [aria-label='Table 3'] tbody"
    rows = [row.split() for row in texts(f"{last} tr")]
    assert [row[:2] for row in rows[:3]] == [["GRPO", "25.0"], ["ST-GRPO", "37.5"], ["Dr.GRPO", "37.5"]]
    assert rows[4][:4] == ["ST-GRPO", "minus", "GRPO", "+12.5"]
    assert [text.split(". ")[0] for text in texts("#answers .truth")] == ["A"] * spec.questions
    said = set()
    for cell in spec.side_by_side:
        for part in spec.parts:
            lines = (folder / f"cells/{cell}/seed0/eval/{part}.jsonl").read_text().splitlines()
            said |= {(cell, json.loads(line)["text"]) for line in lines}
    cells, told = texts("#answers .answer header span:first-child"), texts("#answers .answer .said")
    assert len(told) == len(spec.side_by_side) * spec.questions
    assert set(zip(cells, told, strict=True)) <= said
    parts = {row.split("\t")[0]: row.split("\t")[-1] for row in texts("#origins > .scroll tbody tr")}
    assert parts["device"] == "6", "trainings alone name one here"
    assert parts["commit"] == str(6 + 7 * len(spec.parts) + 7 + len(spec.files_of_questions) + len(spec.origins))
    assert f"{parts['commit']} parts were made by code with uncommitted changes" in page.inner_text("#origins")
    page.close()


def test_equal_results_give_equal_bytes(tmp_path: Path):
    spec = write_results(hostile_experiment(), tmp_path / "smoke", ["one", "two"])
    first = make_page(spec, tmp_path / "smoke").read_bytes()
    assert make_page(spec, tmp_path / "smoke").read_bytes() == first


def test_a_run_of_another_spec_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    spec = write_results(hostile_experiment(), tmp_path / "smoke", ["one"])
    words = ["report", "--results", str(tmp_path / "smoke"), *REPORTED, "--out", str(tmp_path / "report.html")]
    other = spec.model_copy(update={"trained": spec.trained | {"grpo/seed0": "feed"}})
    assert main([*words, "--spec", other.model_dump_json()]) == 2
    assert capsys.readouterr().err == (
        f"report: {tmp_path}/smoke/cells/grpo/seed0/train.json: made by spec {spec.trained['grpo/seed0']}, the "
        "configuration asks for feed; make it again (snakemake TARGET -R train)\n"
    )
    assert not (tmp_path / "report.html").exists()


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture):
    spec = write_results(hostile_experiment(), tmp_path / "smoke", ["one"])
    (tmp_path / "smoke/questions/mmvu.aside.csv").unlink()
    words = ["report", "--spec", spec.model_dump_json(), "--results", str(tmp_path / "smoke"), *REPORTED]
    assert main([*words, "--out", "results/smoke/report.html"]) == 2
    assert capsys.readouterr().err == (
        f"report: {tmp_path}/smoke/questions/mmvu.aside.csv: no such file; make it and all others by snakemake "
        "results/smoke/report.html\n"
    )
