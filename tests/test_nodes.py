"""Several nodes: every rank a process that srun started, here four that are told so, two on each of two nodes."""

import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from support import ROOT
from test_distributed import SPEC, compare
from test_files_state import holder
from test_resume import as_files, finish, start_verb

from stgrpo.files import read_json

pytestmark = pytest.mark.slow

NODES, PROCESSES = 2, 2
FOUR = ("--save-steps=2", "--micro-rows=2", f"--nodes={NODES}", f"--processes={PROCESSES}")
ENGINES = {"DDP": (), "ZeRO-2": (f"--deepspeed={ROOT / 'envs/zero2.json'}",)}

Start = Callable[..., list[subprocess.Popen]]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, questions, scores, policy_path) -> dict[str, Path]:
    return as_files(tmp_path_factory.mktemp("inputs"), questions, scores, policy_path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, inputs) -> Path:
    """The results of one process."""
    out = tmp_path_factory.mktemp("alone")
    finish(start_verb(SPEC, out, inputs, "--save-steps=2", "--micro-rows=8"))
    return out


def free_port() -> str:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return str(opened.getsockname()[1])


@pytest.fixture(scope="module")
def start(inputs: Mapping[str, Path]) -> Start:
    """As srun does it; the nodes' names resolve nowhere, so that an address stands in the environment."""

    def start_all(out: Path, *more: str, ranks: Sequence[int] = range(4), **environment: str) -> list[subprocess.Popen]:
        job = {"SLURM_JOB_ID": "12", "SLURM_NNODES": "2", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "n[1-2]"}
        job |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1"} | environment
        return [start_verb(SPEC, out, inputs, *FOUR, *more, **job, **place(rank)) for rank in ranks]

    return start_all


def place(rank: int) -> dict[str, str]:
    """What srun tells one rank."""
    node, local = divmod(rank, PROCESSES)
    names = {"PROCID": rank, "NODEID": node, "LOCALID": local}
    return {f"SLURM_{name}": str(number) for name, number in names.items()} | {"SLURMD_NODENAME": f"n{node + 1}"}


def ends(ranks: Sequence[subprocess.Popen]) -> tuple[list[int], list[str]]:
    """Exit status of every rank, and what it said."""
    said = [process.communicate(timeout=300)[0] for process in ranks]
    return [process.returncode for process in ranks], said


@pytest.mark.parametrize("engine", ENGINES)
def test_four_ranks_on_two_nodes_in_two_jobs_equal_one_process(tmp_path, start, alone, policy_path, engine: str):
    """The time of the first job ends all ranks at once, rank 0 alone with the status that srun is to report."""
    status, said = ends(start(tmp_path, *ENGINES[engine], "--minutes=0.01", SLURM_JOB_ID="11"))
    assert status == [os.EX_TEMPFAIL, 0, 0, 0], said
    assert "used up at step 1 of 3" in said[0]
    status, said = ends(start(tmp_path, *ENGINES[engine], "--minutes=60"))
    assert status == [0, 0, 0, 0], said
    assert "resuming from step 1 of 3" in said[0]
    assert [text.count("wrote ") for text in said] == [1, 0, 0, 0]
    compare(tmp_path, alone, policy_path)
    made = read_json(tmp_path / "train.json")["provenance"]
    assert (made["runtime"]["nodes"], made["runtime"]["processes"]) == (2, 2)
    assert [(row["job"], row["host"], row["end"]) for row in made["attempts"]] == [
        ("11", "n1", "out of time"),
        ("12", "n1", "finished"),
    ]


def test_a_refusal_is_one_line_of_rank_0_and_ends_all(tmp_path, start):
    with holder(tmp_path / "state") as process:
        status, said = ends(start(tmp_path))
    assert status == [2, 0, 0, 0], said
    assert [text.count("\n") for text in said] == [1, 0, 0, 0], said
    assert f"in use by process {process.pid}" in said[0]


def test_a_wrong_number_of_ranks_is_one_line(tmp_path, start):
    status, said = ends(start(tmp_path, SLURM_NTASKS="2", ranks=range(2)))
    assert status == [2, 0]
    assert said == [
        "train: --nodes 2 --processes 2: needs 4 tasks on 2 nodes, but Slurm started 2 on 2; start it in a job of 2 "
        "nodes with srun --nodes=2 --ntasks-per-node=2 --kill-on-bad-exit=1\n",
        "",
    ]
    assert not (tmp_path / "state").exists()


def test_a_name_that_resolves_nowhere_is_one_line_at_once(tmp_path, start):
    status, said = ends(start(tmp_path, MASTER_ADDR="n1.invalid"))
    assert status == [2, 0, 0, 0], said
    expected = "train: n1.invalid: a name without an address; set MASTER_ADDR to one of the first node's\n"
    assert said == [expected, "", "", ""]


def test_a_rank_that_fails_says_why_and_the_state_keeps_it(tmp_path, start):
    """Rank 1 fails; the others lose its connection. (srun would kill them.)"""
    ranks = start(tmp_path, PROBE_FAIL="bug")
    status, said = ends(ranks)
    assert all(status), status
    assert "ValueError: this is bug" in said[1] and "Traceback" in said[1]
    assert said[0].splitlines()[-1] == "train: ended, because another rank has failed and said why"
    assert "Traceback" not in "".join(said[2:]), said
    found = read_json(tmp_path / "state" / "attempts.json")["attempts"]
    assert [(row["end"], row["reason"]) for row in found] == [("failed", "ValueError: this is bug")]
