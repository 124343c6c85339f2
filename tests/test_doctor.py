"""What `doctor` finds and `refuse` refuses. For GPUs and clusters that cannot be here stand programs that print it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from slurm_cluster import Slurm
from support import ROOT, experiment

from stgrpo.__main__ import main
from stgrpo.config import Experiment, Resources
from stgrpo.errors import UserError
from stgrpo.files import write_json
from stgrpo.planning import checks, cluster
from stgrpo.planning.checks import refuse
from stgrpo.planning.cluster import Nodes, parse_nodes
from stgrpo.planning.findings import Executor, Finding, Setting, ask


def of(chosen: Experiment, executor: Executor = "local") -> Setting:
    """Everything of a scale is to be done, on Slurm in the image."""
    return Setting(chosen, executor, executor == "slurm", chosen.active.needs)


HERE = of(experiment("demo"))
PAPER = of(experiment("paper"))
SLURM = of(experiment("paper"), "slurm")
PATH = os.environ["PATH"]
H100 = "gpu*|8|gpu:h100:4(S:0-1)|512000|64|2-00:00:00"


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """An empty working directory and an empty PATH, into which programs may be put: (name, what it prints, status)."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("HF_TOKEN", raising=False)

    def put(name: str, text: str = "", status: int = 0, error: str = "") -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'\nprintf '%s\\n' '{error}' >&2\nexit {status}\n")
        path.chmod(0o755)

    return put


def said(check: checks.Check, setting: Setting) -> list[tuple[str, str]]:
    """Level and text of every finding."""
    return [(finding.level, str(finding)) for finding in check(setting)]


def only(found: Iterable[Finding]) -> Finding:
    (one,) = found
    return one


# This machine.

FOUR = "\n".join(
    f"GPU {i}: NVIDIA H100 80GB HBM3 (UUID: GPU-{i})\n  MIG 1g.10gb Device 0: (UUID: MIG-{i})" for i in range(4)
)


def test_gpus_are_counted(programs):
    programs("nvidia-smi", FOUR)
    assert said(checks.gpus, PAPER) == [("ok", "4, a job needs 4 at most")]
    programs("nvidia-smi", FOUR.partition("GPU 3")[0])
    ((level, text),) = said(checks.gpus, PAPER)
    assert level == "missing"
    assert text.startswith("3, a job of scale 'paper' needs 4; use --profile slurm")


def test_a_machine_without_gpus_or_with_a_broken_driver_has_none(programs):
    assert said(checks.gpus, PAPER)[0][1].startswith("0, a job of scale 'paper' needs 4; ")
    programs("nvidia-smi", FOUR, status=9)
    assert said(checks.gpus, PAPER)[0][0] == "missing"
    assert said(checks.gpus, HERE) == [("ok", "0, a job needs 0 at most")]


def with_scale(chosen: Experiment, **changes) -> Experiment:
    scale = chosen.active.model_copy(update=changes)
    return chosen.model_copy(update={"scales": {**chosen.scales, chosen.scale: scale}})


def test_several_nodes_need_slurm(programs):
    programs("nvidia-smi", FOUR)
    found = next(checks.gpus(of(with_scale(experiment("paper"), nodes=2))))
    assert (found.level, str(found)) == ("missing", "this is one, a training needs 2; use --profile slurm")


def test_too_few_cpus_and_too_little_memory_are_told_but_stop_nothing():
    assert [level for level, _ in said(checks.machine, HERE)] == ["ok", "ok"]
    large = {name: Resources(cpus=4096, mem_mb=10**9) for name in HERE.experiment.active.needs}
    notes = said(checks.machine, of(with_scale(experiment("demo"), needs=large)))
    assert [level for level, _ in notes] == ["note", "note"]
    assert "CPUs, a job asks for 4096 at most" in notes[0][1]
    assert "MB of memory, a job asks for 1000000000 at most" in notes[1][1]


# The image.


def test_no_image_and_no_apptainer():
    assert said(checks.image, HERE) == []
    assert said(checks.image, SLURM) == [
        ("missing", "containers/stgrpo.sif does not exist; make image, or name one as `container` in config.yaml"),
        ("missing", "not on the PATH; install it, or load its module (module load apptainer)"),
    ]


def test_an_image_and_an_apptainer(programs):
    Path("containers").mkdir()
    Path("containers/stgrpo.sif").write_bytes(bytes(2048))
    programs("apptainer", "apptainer version 1.4.5")
    assert said(checks.image, SLURM) == [("ok", "containers/stgrpo.sif, 2 KiB"), ("ok", "apptainer version 1.4.5")]
    programs("apptainer", status=1, error="FATAL: no such capability")
    assert said(checks.image, SLURM)[1] == (
        "missing",
        "does not run (FATAL: no such capability); try apptainer --version",
    )


def test_an_image_that_is_a_link_to_nothing():
    Path("containers").mkdir()
    Path("containers/stgrpo.sif").symlink_to("/nowhere/stgrpo.sif")
    assert said(checks.image, SLURM)[0][1].startswith(
        "containers/stgrpo.sif -> /nowhere/stgrpo.sif, which does not exist; "
    )


# Slurm.


def test_slurms_programs(programs):
    assert said(cluster.programs, HERE) == []
    absent, plugin = cluster.programs(SLURM)
    assert str(absent).startswith("not on the PATH: sbatch, squeue, sinfo, scontrol, srun; run on a login node")
    assert (absent.level, plugin.level) == ("missing", "ok")
    for name in ("sbatch", "squeue", "sinfo", "scontrol", "srun"):
        programs(name)
    assert [found.subject for found in cluster.programs(SLURM)] == ["plugin"]


def test_the_controller(programs):
    assert said(cluster.controller, SLURM) == []  # that scontrol is missing is said elsewhere
    programs("scontrol", "Slurmctld(primary) at head is DOWN", status=1)
    ((level, text),) = said(cluster.controller, SLURM)
    assert level == "missing"
    assert text.startswith("does not answer (scontrol ping: Slurmctld(primary) at head is DOWN)")
    programs("scontrol", status=1, error="scontrol: fatal: Could not establish a configuration source")
    assert "Could not establish a configuration source" in said(cluster.controller, SLURM)[0][1]


@pytest.mark.parametrize(("age", "levels"), [(300, ["ok"]), (120, ["ok"]), (60, ["ok", "note"])])
def test_squeue_that_forgets_at_once_is_told(programs, age: int, levels: list[str]):
    programs("scontrol", f"Slurmctld(primary) at head is UP\nMinJobAge               = {age} sec")
    found = said(cluster.controller, SLURM)
    assert [level for level, _ in found] == levels
    assert found[0][1] == "Slurmctld(primary) at head is UP"
    assert all(f"after {age} s (MinJobAge)" in text for _, text in found[1:])


LINES = [
    (H100, Nodes("gpu", True, 8, 4, 512000, 64, 2880)),
    ("cpu|100|(null)|191000+|48+|infinite", Nodes("cpu", False, 100, 0, 191000, 48, None)),
    ("mix|2|gpu:a100:2,gpu:v100:4,shard:8|64000|16|30:00", Nodes("mix", False, 2, 6, 64000, 16, 30)),
    ("old|1|gpu:4|64000|16|4:00:00", Nodes("old", False, 1, 4, 64000, 16, 240)),
    ("mig|1|gpu:nvidia_a100_1g.10gb:7(S:0)|64000|16|1-12:30:00", Nodes("mig", False, 1, 7, 64000, 16, 2190)),
    ("odd|1|craynetwork:4|64000|16|n/a", Nodes("odd", False, 1, 0, 64000, 16, None)),
]


@pytest.mark.parametrize(("line", "nodes"), LINES, ids=[nodes.partition for _, nodes in LINES])
def test_what_sinfo_says(line: str, nodes: Nodes):
    assert parse_nodes(line) == nodes


def test_a_partition_for_every_job(programs):
    assert said(cluster.partitions, SLURM) == []  # that sinfo is missing is said elsewhere
    programs("sinfo", "", 1, "slurm_load_partitions: Unable to contact slurm controller")
    ((level, line),) = said(cluster.partitions, SLURM)
    assert level == "missing" and "Unable to contact slurm controller" in line
    programs("sinfo", H100)
    assert said(cluster.partitions, SLURM) == [("ok", "gpu for prepare, score, train, evaluate")]
    assert said(cluster.partitions, HERE) == []


LACKS = {
    "GPUs": "gpu*|8|gpu:2|512000|64|2-00:00:00",
    "memory": "gpu*|8|gpu:4|128000|64|2-00:00:00",
    "CPUs": "gpu*|8|gpu:4|512000|16|2-00:00:00",
    "time": "gpu*|8|gpu:4|512000|64|12:00:00",
}


@pytest.mark.parametrize("what", LACKS)
def test_a_training_that_no_partition_takes(programs, what: str):
    programs("sinfo", f"cpu|10|(null)|512000|64|infinite\n{LACKS[what]}")
    missing = next(found for found in cluster.partitions(SLURM) if found.level == "missing")
    text = str(missing)
    assert text.startswith(
        "none takes train, a job of 4 GPUs, 32 CPUs, 240000 MB, 1440 min; the largest nodes are 8 x "
    )
    assert "lower scales.paper.needs.train in config.yaml; a training that takes longer than its job goes on" in text


def test_the_largest_nodes_are_named(programs):
    programs("sinfo", LACKS["GPUs"])
    missing = next(found for found in cluster.partitions(SLURM) if found.level == "missing")
    assert "the largest nodes are 8 x 2 GPUs, 64 CPUs, 512000 MB, 2880 min in 'gpu';" in str(missing)


def test_a_training_over_more_nodes_than_there_are(programs):
    setting = of(with_scale(experiment("paper"), nodes=9), "slurm")
    programs("sinfo", H100)
    missing = only(found for found in cluster.partitions(setting) if found.level == "missing")
    assert "a job of 9 x 4 GPUs" in str(missing)


def test_jobs_that_only_another_than_the_default_partition_takes(programs):
    programs("sinfo", f"cpu*|10|(null)|512000|64|infinite\n{H100.replace('*', '')}")
    found = said(cluster.partitions, SLURM)
    assert ("ok", "cpu, gpu for prepare") in found
    assert ("ok", "gpu for score, train, evaluate") in found
    note = "the default one does not take train, gpu does; say slurm_partition=gpu in --default-resources or in your"
    assert ("note", f"{note} profile") in found


@pytest.mark.cluster
def test_on_a_real_slurm(slurm: Slurm, monkeypatch):
    """Two nodes with four GPUs, 16 CPUs and 64 GB each, for a day at most."""
    monkeypatch.setenv("PATH", PATH)
    smoke = of(experiment("smoke"), "slurm")
    assert [found.level for found in cluster.programs(smoke)] == ["ok"]
    assert " is UP" in str(only(cluster.controller(smoke)))
    assert str(only(cluster.partitions(smoke))).endswith(" for world, prepare, warm, score, train, evaluate")
    missing = only(found for found in cluster.partitions(SLURM) if found.level == "missing")
    assert "the largest nodes are 2 x 4 GPUs, 16 CPUs, 64000 MB, 1440 min in 'gpu';" in str(missing)


# Folders and disks.


def test_folders_that_can_be_written_or_made():
    Path("results").mkdir()
    assert [(found.subject, found.level) for found in checks.writing(HERE)] == [
        ("results/", "ok"),
        ("resources/", "ok"),
    ]
    assert list(Path().iterdir()) == [Path("results")]  # nothing was made


def test_a_link_to_a_folder_that_is_gone(tmp_path: Path):
    Path("results").symlink_to(tmp_path / "scratch")
    results, resources = checks.writing(HERE)
    assert (results.level, resources.level) == ("missing", "ok")
    assert str(results) == f"a link to {tmp_path}/scratch, which does not exist; mkdir -p {tmp_path}/scratch"
    (tmp_path / "scratch").mkdir()
    assert next(checks.writing(HERE)).level == "ok"


def test_a_file_in_the_way():
    Path("resources").write_text("")
    _, resources = checks.writing(HERE)
    assert (resources.level, str(resources)) == (
        "missing",
        "resources is no folder; move it away: mv resources resources.old",
    )


def as_nobody(work: Callable[[], bool]) -> bool:
    """What `work` returns to a user who owns nothing; root may write everywhere."""
    if os.getuid() != 0:
        return work()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        os._exit(0 if work() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_folder_that_cannot_be_written(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        Path(folder).chmod(0o555)  # nobody gets here, as into pytest's own folders, but may not write
        expected = f"{Path.cwd()} cannot be written; have it made writable, or make results a link to a folder that is"
        assert as_nobody(lambda: str(next(checks.writing(HERE))) == expected)
        Path(folder).chmod(0o777)
        assert as_nobody(lambda: next(checks.writing(HERE)).level == "ok")
        monkeypatch.undo()


def weigh(count: int) -> None:
    """A policy of so many numbers, by the header of its weights; the numbers themselves are left out."""
    folder = Path("results/demo/policy")
    folder.mkdir(parents=True)
    header = f'{{"a": {{"dtype": "BF16", "shape": [{count}], "data_offsets": [0, {2 * count}]}}}}'.encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def test_disk_that_is_unknown_enough_or_too_small():
    assert said(checks.room, HERE) == [("note", "its peak is unknown until the policy to start from is there")]
    weigh(1000)
    ((level, text),) = said(checks.room, HERE)
    assert level == "ok"
    # Eleven trainings of three checkpoints of three copies in fp32.
    assert text.endswith(f"the trainings left need {11 * 3 * 3 * 4000 / 1024:.3g} KiB more")
    shutil.rmtree("results")
    weigh(10**12)
    ((level, text),) = said(checks.room, HERE)
    assert level == "missing"
    assert "TiB more side by side; free some, make results/ a link to a larger disk, or run fewer" in text


# The Hub.


def test_what_is_gated_needs_a_token(monkeypatch):
    assert said(checks.token, HERE) == []  # everything is rendered
    page = "https://huggingface.co/datasets/lmms-eval/VideoMMMU"
    assert said(checks.token, PAPER) == [
        (
            "missing",
            f"videommmu needs one (contact agreement); accept its terms at {page}, then export HF_TOKEN=...",
        )
    ]
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert said(checks.token, PAPER) == [
        ("ok", f"HF_TOKEN is set, for videommmu; its terms must be accepted at {page}")
    ]


def test_what_was_fetched_needs_no_token():
    write_json("resources/paper/videommmu.json", {})
    assert said(checks.token, PAPER) == []


# All of it.


def test_other_versions_than_the_measured_ones_are_told(monkeypatch, tmp_path: Path):
    constraints = tmp_path / "constraints.txt"
    text = (ROOT / "envs/constraints.txt").read_text()
    constraints.write_text(text.replace("submitit==", "submitit==99."))
    monkeypatch.setattr(checks, "_CONSTRAINTS", constraints)
    ((level, line),) = said(checks.packages, HERE)
    assert level == "note"
    assert "measured with 99." in line


def test_refuse_says_what_is_missing_and_nothing_else():
    refuse(experiment("demo"), "local", False, ["world", "train"])
    with pytest.raises(UserError) as refusal:
        refuse(experiment("paper"), "local", False, ["fetch", "train", "tabulate"])
    first, *lines = str(refusal.value).splitlines()
    assert first == "scale 'paper' cannot run here:"
    assert [line.split(":")[0] for line in lines] == ["  GPUs", "  hub", "  token"]


def test_a_run_that_only_fetches_or_tabulates_needs_no_gpu(monkeypatch):
    refuse(experiment("paper"), "local", False, ["tabulate", "publish", "all"])
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(UserError) as refusal:
        refuse(experiment("paper"), "local", False, ["fetch", "prefetch"])
    assert "GPU" not in str(refusal.value)
    with pytest.raises(UserError, match="GPUs: 0, a job of scale 'paper' needs 1"):
        refuse(experiment("paper"), "local", False, ["evaluate", "grade"])


def test_the_verb_ends_with_1_if_anything_is_missing(capsys):
    shutil.copyfile(ROOT / "config.yaml", "config.yaml")
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Scale demo, executor local:\n\nok       GPUs ")
    assert text.endswith("\nNothing is missing.\n")
    with pytest.raises(SystemExit) as end:
        main(["doctor", "--scale", "paper", "--executor", "slurm"])
    assert end.value.code == 1
    text = capsys.readouterr().out
    assert [line.split()[1] for line in text.splitlines() if line.startswith("missing")] == [
        *("image", "apptainer", "Slurm", "hub", "token")
    ]
    assert text.endswith("\n5 missing: it cannot run like this.\n")
    assert max(map(len, text.splitlines())) <= 100


def test_a_program_that_is_no_program_is_none(programs, tmp_path: Path):
    assert ask("nvidia-smi") is None
    (tmp_path / "bin/nvidia-smi").write_text("")
    assert ask("nvidia-smi") is None
    programs("nvidia-smi", "a", status=3, error="b")
    answer = ask("nvidia-smi")
    assert answer is not None
    assert (answer.good, answer.text, answer.error) == (False, "a", "b")
