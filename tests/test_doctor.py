"""What `doctor` finds and `refuse` refuses. For GPUs and clusters that cannot be here stand programs that print it."""

import errno
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_server import HubServer
from slurm_cluster import Slurm
from support import ROOT, copy_of_the_tree, experiment

from stgrpo import specs
from stgrpo.__main__ import main
from stgrpo.config import Experiment, Need, Resources
from stgrpo.errors import UserError
from stgrpo.files import write_json
from stgrpo.planning import checks, cluster
from stgrpo.planning.checks import refuse
from stgrpo.planning.cluster import Nodes, parse_nodes
from stgrpo.planning.findings import Executor, Finding, Setting, ask
from stgrpo.planning.work import Demand, Work, configured, count_gpus, work_of_jobs, work_of_scale
from stgrpo.state import state_folder


def of(chosen: Experiment, executor: Executor = "local") -> Setting:
    """Everything of a scale but what is on request is to be done, on Slurm in the image."""
    needs: dict[Need, Demand] = {kind: configured(chosen.active, kind) for kind in chosen.active.needs}
    trained = [cell for cell in chosen.trainable if cell in chosen.active.cells]
    trainings = [(cell, seed) for cell in trained for seed in chosen.active.seeds]
    return Setting(chosen, executor, executor == "slurm", Work(needs, ["mmvu", "videommmu"], trainings))


def only_training(setting: Setting, **changes) -> Setting:
    """With a training that asks for something else than config.yaml says."""
    demand = replace(setting.work.needs["train"], **changes)
    return replace(setting, work=replace(setting.work, needs={"train": demand}))


def job(rule: str, threads: int | str = 1, wildcards: dict | None = None, **resources) -> SimpleNamespace:
    """One of Snakemake's, as far as it is looked at."""
    names = SimpleNamespace(**(wildcards or {}))
    return SimpleNamespace(rule=SimpleNamespace(name=rule), threads=threads, wildcards=names, resources=resources)


def training(cell: str, **resources) -> SimpleNamespace:
    return job("train", 32, {"cell": cell, "seed": "0"}, **resources)


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
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # verbs that ran in this process have set it
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody answers

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


@pytest.mark.parametrize(
    ("visible", "count"), [("0,1,2,3", 4), ("2,0", 2), ("", 0), ("-1", 0), ("1,7,2", 1), ("GPU-0,GPU-1", 4)]
)
def test_only_visible_gpus_are_counted(programs, monkeypatch, visible: str, count: int):
    """As CUDA does, up to the first that there is not; names are not looked up."""
    programs("nvidia-smi", FOUR)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    ((level, text),) = said(checks.gpus, PAPER)
    assert (level, text.partition(",")[0]) == ("ok" if count == 4 else "missing", str(count))


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


@pytest.mark.parametrize(("age", "levels"), [(300, ["ok"]), (299, ["ok", "note"]), (60, ["ok", "note"])])
def test_squeue_that_forgets_at_once_is_told(programs, age: int, levels: list[str]):
    programs("scontrol", f"Slurmctld(primary) at head is UP\nMinJobAge               = {age} sec")
    found = said(cluster.controller, SLURM)
    assert [level for level, _ in found] == levels
    assert found[0][1] == "slurmctld is up"
    assert all(f"after {age} s (MinJobAge)" in text for _, text in found[1:])


HABITS = [
    ("PreemptMode             = REQUEUE\nJobRequeue              = 1", ""),
    ("PreemptMode             = GANG,SUSPEND", ""),
    ("PreemptMode             = CANCEL", "if a job is PREEMPTED, interrupt Snakemake and start it again"),
    ("JobRequeue              = 0", "keep slurm-requeue: true in the profile"),
]


@pytest.mark.parametrize(("config", "todo"), HABITS)
def test_what_slurm_does_to_jobs_that_make_way_is_told(programs, config: str, todo: str):
    programs("scontrol", f"Slurmctld(primary) at head is UP\n{config}\nMinJobAge               = 300 sec")
    first, *notes = said(cluster.controller, SLURM)
    assert first == ("ok", "slurmctld is up")
    assert [level for level, _ in notes] == ["note"] * bool(todo)
    assert all(todo in text for _, text in notes)


LINES = [
    (H100, Nodes("gpu", True, 8, 4, 512000, 64, 2880)),
    ("cpu|100|(null)|191000|48|infinite", Nodes("cpu", False, 100, 0, 191000, 48, None)),
    ("mix|2|gpu:a100:2,gpu:v100:4,shard:8|64000|16|30:00", Nodes("mix", False, 2, 6, 64000, 16, 30)),
    ("old|1|gpu:4|64000|16|4:00:00", Nodes("old", False, 1, 4, 64000, 16, 240)),
    ("mig|1|gpu:nvidia_a100_1g.10gb:7(S:0)|64000|16|1-12:30:00", Nodes("mig", False, 1, 7, 64000, 16, 2190)),
    ("idle|1|gpu:a100:no_consume:4|64000|16|4:00:00", Nodes("idle", False, 1, 4, 64000, 16, 240)),
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


def test_a_mixed_partition_takes_what_its_larger_nodes_take(tmp_path: Path):
    """Only --exact tells them apart; without it sinfo answers for all with the smallest of them and a plus."""
    mixed = f"{H100.replace('512000', '192000')}\n{H100}"
    merged = H100.replace("|8|", "|16|").replace("512000", "192000+")
    program = tmp_path / "bin" / "sinfo"
    program.write_text(f"""#!/bin/sh\ncase "$*" in *--exact*) echo '{mixed}' ;; *) echo '{merged}' ;; esac\n""")
    program.chmod(0o755)
    assert said(cluster.partitions, SLURM) == [("ok", "gpu for prepare, score, train, evaluate")]


def test_a_training_over_nodes_that_differ(programs):
    """Eight of one kind and eight of another are sixteen; those of another partition are not among them."""
    programs("sinfo", f"{H100}\n{H100.replace('512000', '768000')}\n{H100.replace('gpu*', 'other')}")
    assert said(cluster.partitions, only_training(SLURM, nodes=16)) == [("ok", "gpu for train")]
    assert said(cluster.partitions, only_training(SLURM, nodes=17))[0][0] == "missing"
    too_small = H100.replace("512000", "192000")
    programs("sinfo", f"{H100}\n{too_small}")
    assert said(cluster.partitions, only_training(SLURM, nodes=9))[0][0] == "missing"


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
    assert str(only(cluster.controller(smoke))) == "slurmctld is up"
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


def test_locks_of_sources_that_cannot_be_written(monkeypatch):
    """The first fetch of a source writes its lock; where all are there, nothing is written."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        for name in ("results", "resources", "workflow/resources"):
            Path(name).mkdir(parents=True)
        Path(folder).chmod(0o777)
        for name in ("results", "resources"):
            Path(name).chmod(0o777)
        mine = "locks/"
        levels = {"results/": "ok", "resources/": "ok", mine: "missing"}
        assert as_nobody(lambda: {one.subject: one.level for one in checks.writing(PAPER)} == levels)
        told = f"{Path.cwd()}/workflow/resources cannot be written; have it made writable, or make workflow/resources/l"
        assert as_nobody(lambda: str(list(checks.writing(PAPER))[-1]).startswith(told))
        assert mine not in {one.subject for one in checks.writing(HERE)}  # everything is rendered
        for name in PAPER.work.sources:
            write_json(Path("workflow/resources/locks", f"{name}.json"), {})
        assert mine not in {one.subject for one in checks.writing(PAPER)}
        monkeypatch.undo()


def weigh(count: int) -> None:
    """A policy of so many numbers, by the header of its weights; the numbers themselves are left out."""
    folder = Path("results/demo/policy")
    folder.mkdir(parents=True)
    header = f'{{"a": {{"dtype": "BF16", "shape": [{count}], "data_offsets": [0, {2 * count}]}}}}'.encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def test_a_disk_that_takes_no_locks_is_refused(monkeypatch):
    Path("results").mkdir()
    fetched = replace(HERE, work=replace(HERE.work, sources=[]))
    assert said(checks.locks, fetched) == [("ok", "files in it can be locked")]

    def refused(*_) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refused)
    (found,) = checks.locks(fetched)
    assert (found.level, found.subject) == ("missing", "results/")
    assert str(found).startswith("results takes no locks (Function not implemented); mount it with locks (Lustre: -o f")
    assert list(Path("results").iterdir()) == []


def test_the_disk_of_what_is_fetched_takes_locks_as_well(monkeypatch, tmp_path: Path):
    """Only where something is to be fetched; it may be another disk than that of the results."""
    Path("results").mkdir()
    Path("resources").mkdir()
    assert [(found.subject, found.level) for found in checks.locks(PAPER)] == [("results/", "ok"), ("resources/", "ok")]
    flock, disk = fcntl.flock, Path("resources").resolve()

    def refused(stream, kind: int) -> None:
        if Path(f"/proc/self/fd/{stream.fileno()}").readlink().is_relative_to(disk):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        flock(stream, kind)

    monkeypatch.setattr(fcntl, "flock", refused)
    results, resources = checks.locks(PAPER)
    assert (results.level, resources.level, resources.subject) == ("ok", "missing", "resources/")
    assert str(resources).startswith("resources takes no locks (No locks available); mount it with locks (Lustre: -o f")
    assert str(resources).endswith("or make resources/ a link to another disk")
    with pytest.raises(UserError) as refusal, state_folder("resources/paper/mmvu/.fetching", "fetch"):
        pass
    assert str(refusal.value) == (
        "resources/paper/mmvu/.fetching: this file system takes no locks (No locks available); have it mounted with "
        "them (Lustre: the option flock), or make a folder above it a link to one that has"
    )


def test_a_folder_that_cannot_be_written_is_not_tried_for_locks(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        Path(folder).chmod(0o555)
        assert as_nobody(lambda: said(checks.locks, HERE) == [])
        monkeypatch.undo()


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
    assert text.endswith("TiB more at its peak; free some, or make results/ a link to a larger disk")


def leave(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """So many bytes free."""
    usage = SimpleNamespace(free=count)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def test_one_training_that_fits_is_no_matter_of_the_others(monkeypatch):
    """Each needs three checkpoints of three copies in fp32: 36,000 bytes at its peak."""
    weigh(1000)
    leave(monkeypatch, 36_001)
    ((level, text),) = said(checks.room, HERE)
    assert level == "note"
    assert text.startswith("35.2 KiB are free, the 11 trainings left need 387 KiB more side by side; free some, make")
    one = replace(HERE, work=work_of_jobs(HERE.experiment, [training("grpo")]))
    assert said(checks.room, one) == [("ok", "35.2 KiB are free, the trainings left need 35.2 KiB more")]
    refuse(HERE.experiment, "local", False, [training("grpo"), training("st-grpo")])
    leave(monkeypatch, 36_000)
    with pytest.raises(UserError, match=r"disk: 35.2 KiB are free, a training needs 35.2 KiB more at its peak"):
        refuse(HERE.experiment, "local", False, [training("grpo")])
    with pytest.raises(UserError, match=r"disk: .* a training needs 35.2 KiB more"):
        refuse(HERE.experiment, "local", False, [training("st-grpo-sharp")])  # made on request, but asked for
    refuse(HERE.experiment, "local", False, [job("evaluate")])


def test_a_training_that_runs_again_needs_its_disk_again(monkeypatch):
    weigh(1000)
    leave(monkeypatch, 36_000)
    spec = specs.train_spec(HERE.experiment, "grpo", 0)
    folder = Path("results/demo/cells/grpo/seed0")
    for name in ("model", "train.jsonl", "rollouts.jsonl", "groups.jsonl"):
        (folder / name).mkdir(parents=True)
    write_json(folder / "train.json", {"spec": spec.model_dump(), "provenance": {"spec": spec.hash()}})
    assert ("grpo", 0) not in work_of_scale(HERE.experiment).trainings
    again = replace(HERE, work=work_of_jobs(HERE.experiment, [training("grpo")]))
    assert said(checks.room, again)[0][0] == "missing"


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


def test_the_hub_is_asked_whether_it_answers(monkeypatch, tmp_path: Path):
    assert said(checks.hub, HERE) == []  # everything is rendered
    todo = "run snakemake prefetch where there is a network, or name a proxy (HTTPS_PROXY) or a mirror (HF_ENDPOINT)"
    lost = "http://127.0.0.1:9 cannot be reached ([Errno 111] Connection refused)"
    assert said(checks.hub, PAPER) == [("note", f"{lost}; {todo}")]
    with HubServer(tmp_path) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert said(checks.hub, PAPER) == [("ok", f"{server.url} answers")]
        monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
        assert said(checks.hub, PAPER) == [("missing", "TRANSFORMERS_OFFLINE is set; unset TRANSFORMERS_OFFLINE")]
    monkeypatch.delenv("TRANSFORMERS_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert said(checks.hub, PAPER) == [
        ("note", f"no address cannot be reached (unknown url type: 'no address'); {todo}")
    ]
    assert said(checks.hub, replace(PAPER, work=replace(PAPER.work, sources=[]))) == []


def test_what_was_fetched_needs_no_token():
    assert "videommmu" in work_of_scale(PAPER.experiment).sources
    write_json("resources/paper/videommmu.json", {})
    lacking = work_of_scale(PAPER.experiment)
    assert lacking.sources == [
        *("qwen2.5-vl-7b", "llava-onevision-0.5b", "qwen2.5-vl-7b-sft", "video-r1-7b", "arrow-rl-7b"),
        *("video-r1", "perceptiontest-rows"),
        *("videomme", "vsibench", "perceptiontest", "tempcompass", "mmvu"),
    ]
    assert said(checks.token, replace(PAPER, work=lacking)) == []


def test_checkpoints_that_are_to_be_examined_are_fetched_though_nothing_is_left_to_train():
    chosen = experiment("paper")
    for cell in chosen.trainable:
        folder, made = Path("results/paper/cells", cell, "seed0"), specs.train_spec(chosen, cell, 0)
        (folder / "model").mkdir(parents=True)
        for name in ("train.jsonl", "rollouts.jsonl", "groups.jsonl"):
            (folder / name).touch()
        write_json(folder / "train.json", {"spec": made.model_dump(), "provenance": {"spec": made.hash()}})
    work = work_of_scale(chosen)
    assert (list(work.needs), work.trainings) == (["fetch", "evaluate"], [])
    assert work.sources == ["qwen2.5-vl-7b-sft", "video-r1-7b", "arrow-rl-7b"]
    for name in work.sources:
        write_json(f"resources/paper/{name}.json", {})
    assert list(work_of_scale(chosen).needs) == ["evaluate"]


# What is to be done.


def test_the_most_that_snakemakes_jobs_ask_for():
    """As --set-resources has it, where it is known before the job starts."""
    chosen = experiment("paper")
    jobs = [
        training("grpo", gpu=2, mem_mb=1000, runtime=480, nodes=1),
        training("st-grpo", gpu=1, mem_mb="<TBD>", runtime=60, nodes=1),
        job("warm_policy"),  # not at this scale
        job("fetch", 4, {"source": "mmvu"}),
        job("fetch", 4, {"source": "video-r1"}),
        job("evaluate", "<TBD>", gpu="<TBD>"),
        job("grade"),
    ]
    work = work_of_jobs(chosen, iter(jobs))
    assert work.needs == {
        "train": Demand(2, 32, 240_000, 480, 1),  # memory as configured
        "fetch": Demand(0, 4, 2000, 30),
        "evaluate": Demand(1, 8, 64_000, 720),
    }
    assert list(work.needs) == ["fetch", "train", "evaluate"]
    assert (work.sources, work.trainings) == (["mmvu", "video-r1"], [("grpo", 0), ("st-grpo", 0)])


def test_a_training_over_nodes_as_snakemake_asks_for_it():
    """Its threads are one task's, its GPUs are in the words of Slurm."""
    nodes = {"nodes": 3, "tasks_per_node": 4, "mpi": "srun", "gres": "gpu:a100:4"}
    several = job("train", 8, {"cell": "grpo", "seed": "0"}, mem_mb=1, runtime=2, **nodes)
    assert work_of_jobs(experiment("paper"), [several]).needs["train"] == Demand(4, 32, 1, 2, 3)
    assert [count_gpus(text) for text in ("", "gpu:2", "gpu:a100:no_consume:4", "shard:8")] == [0, 2, 4, 0]


def test_a_run_that_fetches_what_is_free_needs_no_token(monkeypatch):
    leave(monkeypatch, 10**14)
    refuse(experiment("paper"), "local", False, [job("fetch", 4, {"source": "mmvu"})])


def test_a_hub_that_did_not_answer_once_stops_no_run(monkeypatch):
    """A fetch asks again, and through proxies that this does not know; one that is switched off never will answer."""
    leave(monkeypatch, 10**14)
    wanted = [job("fetch", 4, {"source": "mmvu"})]
    refuse(experiment("paper"), "local", False, wanted)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="hub: HF_HUB_OFFLINE is set; unset HF_HUB_OFFLINE"):
        refuse(experiment("paper"), "local", False, wanted)


# All of it.


def test_other_versions_than_the_measured_ones_are_told(monkeypatch, tmp_path: Path):
    constraints = tmp_path / "constraints.txt"
    text = (ROOT / "envs/constraints.txt").read_text()
    constraints.write_text(text.replace("submitit==", "submitit==99."))
    monkeypatch.setattr(checks, "_CONSTRAINTS", constraints)
    ((level, line),) = said(checks.packages, HERE)
    assert level == "note"
    assert "measured with 99." in line


def test_refuse_says_what_is_missing_and_nothing_else(monkeypatch):
    leave(monkeypatch, 10**14)
    refuse(experiment("demo"), "local", False, [job("world"), training("grpo")])
    with pytest.raises(UserError) as refusal:
        jobs = [job("fetch", 4, {"source": "videommmu"}), training("grpo"), job("tabulate")]
        refuse(experiment("paper"), "local", False, jobs)
    first, *lines = str(refusal.value).splitlines()
    assert first == "scale 'paper' cannot run here:"
    assert [line.split(":")[0] for line in lines] == ["  GPUs", "  token"]


def test_a_run_that_only_fetches_or_tabulates_needs_no_gpu(monkeypatch):
    refuse(experiment("paper"), "local", False, [job("tabulate"), job("publish"), job("all")])
    leave(monkeypatch, 10**14)
    refuse(experiment("paper"), "local", False, [job("fetch", 4, {"source": "mmvu"}), job("prefetch")])
    with pytest.raises(UserError, match="GPUs: 0, a job of scale 'paper' needs 1"):
        refuse(experiment("paper"), "local", False, [job("evaluate"), job("grade")])
    refuse(experiment("paper"), "local", False, [job("evaluate", gpu=0)])  # --set-resources evaluate:gpu=0


def test_the_verb_ends_with_1_if_anything_is_missing(monkeypatch, capsys):
    leave(monkeypatch, 10**14)
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
        *("image", "apptainer", "Slurm", "token")
    ]
    assert text.endswith("\n4 missing: it cannot run like this.\n")
    assert "HF_HUB_OFFLINE" not in text, "the other verbs switch the Hub off; this one asks for it"
    assert max(map(len, text.splitlines())) <= 100


def test_a_program_that_is_no_program_is_none(programs, tmp_path: Path):
    assert ask("nvidia-smi") is None
    (tmp_path / "bin/nvidia-smi").write_text("")
    assert ask("nvidia-smi") is None
    programs("nvidia-smi", "a", status=3, error="b")
    answer = ask("nvidia-smi")
    assert answer is not None
    assert (answer.good, answer.text, answer.error) == (False, "a", "b")


@pytest.mark.workflow
def test_snakemake_says_why_and_leaves_nothing_behind(tmp_path: Path, monkeypatch):
    """Twice: no lock stays. No line of ours is named, nor what this run does not do, and --set-resources counts."""
    monkeypatch.setenv("PATH", PATH)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    clone = copy_of_the_tree(tmp_path / "clone")

    def lines(*words: str) -> list[str]:
        words = ("snakemake", *words, "--cores=2", "--config", "scale=paper")
        done = subprocess.run(words, cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        _, _, refusal = (done.stdout + done.stderr).partition("scale 'paper' cannot run here:\n")
        here = ("  disk", "  downloads")  # whether there is room for them is this machine's
        return [name for line in refusal.splitlines() if (name := line.split(":")[0]) not in here]

    none = ["--set-resources", "train:gpu=0", "score:gpu=0", "evaluate:gpu=0"]
    for _ in range(2):
        assert lines(*none) == ["  hub", "  token"]
    assert lines(*none[:1], "train:gpu=999", *none[2:]) == ["  GPUs", "  hub", "  token"]
    assert lines("resources/paper/mmvu.json") == ["  hub"]
