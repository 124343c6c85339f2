"""Arrows between the layers of the package point down only (DESIGN section 3)."""

import ast
import gc
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stgrpo
from stgrpo.commands import importing

PACKAGE = Path(stgrpo.__file__).parent
LAYERS = (
    {"errors", "rules", "config", "loading", "records", "files", "provenance", "image", "progress", "specs", "state"}
    | {"statistics"},
    {"prompts", "answers"},
    {"policy", "importance", "variants", "video"},
    {"data", "rl", "benchmarks", "report", "demo"},
    {"planning", "verification"},  # read what all stages leave
    {"commands"},
    {"__main__"},
)
STAGES = LAYERS[3]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
HEAVY = {"torch", "transformers", "trl", "deepspeed", "pandas", "datasets", "scipy", "statsmodels"}


def imports(path: Path, top_only: bool) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_part_has_its_layer():
    parts = {part_of(p) for p in PACKAGE.rglob("*.py")} - {"__init__"}
    assert parts == set(LEVEL)


def test_arrows_point_down():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        here = part_of(path)
        if here == "__init__":
            continue
        for name in imports(path, top_only=False):
            words = name.split(".")
            if words[0] != "stgrpo" or len(words) < 2 or words[1] not in LEVEL or words[1] == here:
                continue
            there = words[1]
            sideways = here in STAGES and there in STAGES
            if LEVEL[there] > LEVEL[here] or sideways:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_core_and_verbs_start_without_heavy_packages():
    """A verb's module is read for its arguments; `grade` must not pay for torch."""
    light = LAYERS[0] | LAYERS[1] | {"planning", "commands", "video"}
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        if part_of(path) in light:
            heavy = {name for name in imports(path, top_only=True) if name.split(".")[0] in HEAVY}
            wrong += [f"{path.relative_to(PACKAGE)}: {name}" for name in sorted(heavy)]
    assert wrong == []


@pytest.mark.parametrize(
    ("verb", "stages"),
    [
        ("prepare", ["stgrpo.data.video_r1", "stgrpo.benchmarks"]),
        ("grade", ["stgrpo.benchmarks.grading"]),
        ("tabulate", ["stgrpo.report.tables"]),
        ("fetch", ["stgrpo.data.fetching"]),
        ("plan", []),
        ("doctor", []),
    ],
)
def test_light_verbs_never_read_torch(verb: str, stages: list[str]):
    program = f"import sys, importlib; [importlib.import_module(m) for m in {['stgrpo.commands.' + verb, *stages]}]"
    program += "; sys.exit(', '.join({'torch', 'transformers', 'trl'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_evaluation_never_reads_the_trainer():
    program = "import sys, stgrpo.commands.evaluate, stgrpo.benchmarks.answering, stgrpo.policy.model"
    program += "; sys.exit(', '.join({'trl', 'deepspeed'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_interval_takes_no_more_of_the_statistics_packages_than_it_needs():
    program = "import sys; from stgrpo.statistics import clustered"
    program += "; clustered([0, 1, 1, 0], [0.25] * 4, list('aaaa'), list('vwxx'))"
    program += "; sys.exit(', '.join({'scipy.stats', 'statsmodels.regression.linear_model'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rows_of_a_benchmark_are_read_without_pandas(tmp_path: Path):
    pq.write_table(pa.table({"question": ["Which colour?"]}), tmp_path / "test.parquet")
    program = "import sys; from pathlib import Path; from stgrpo.benchmarks.rows import read_rows"
    program += f"; assert [index for index, _ in read_rows(Path({str(tmp_path)!r}), '*.parquet')] == [0]"
    program += "; sys.exit('pandas' if 'pandas' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_garbage_is_collected_again_after_imports_that_failed():
    with pytest.raises(ImportError), importing():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
