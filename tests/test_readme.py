"""The README says what the code says."""

import re

from support import ROOT

from stgrpo.loading import load_experiment


def numbered(text: str) -> list[str]:
    """Items "1. ..." with their continuation lines, blanks folded."""
    found = re.findall(r"^ ?(\d+\. .*(?:\n {3,}\S.*)*)", text, re.MULTILINE)
    return [" ".join(item.split()) for item in found]


def test_deviations_stand_in_the_readme_as_in_the_trainer():
    trainer = (ROOT / "stgrpo/rl/trainer.py").read_text().split('"""')[1]
    readme = (ROOT / "README.md").read_text()
    section = readme.split("## What is done differently from the paper")[1].split("\n## ")[0]
    ours = numbered(trainer)
    assert len(ours) == 19
    assert [int(item.split(".")[0]) for item in ours] == list(range(1, 20))
    assert numbered(section) == ours


def test_links_of_the_readme_exist():
    for name in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / name).exists(), name


def test_cells_of_the_readme_exist():
    import yaml

    experiment = load_experiment(yaml.safe_load((ROOT / "config.yaml").read_text()))
    for cell in re.findall(r"results/demo/cells/([a-z0-9-]+)/", (ROOT / "README.md").read_text()):
        assert cell in experiment.trainable
