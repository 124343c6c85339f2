"""A training that outlives its jobs: it ends before their time does, and what dies twice in the same step stops."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import spec_of
from test_files_state import holder
from test_resume import STEPS, as_files, finish, history, start_verb, verb, wait_for

from stgrpo.__main__ import main
from stgrpo.errors import UserError
from stgrpo.files import read_json, sha256
from stgrpo.rl.attempts import Attempts, FullDisk, KilledError, leave_word
from stgrpo.rl.budget import Budget, process_start
from stgrpo.state import state_folder

SPEC = spec_of(steps=STEPS)
MORE = ("--micro-rows=8", "--save-steps=3")

# The time of a job.


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_process_knows_when_it_began():
    program = "import time; time.sleep(1); from stgrpo.rl.budget import process_start; print(process_start())"
    before = now()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert before - 0.1 < float(done.stdout) < before + 0.9, "not when it was asked"
    assert process_start() < before


BUDGETS = [
    # minutes left, slowest step and checkpoint (None: not seen yet) in seconds, over
    (1.0, 10.0, 10.0, False, "1.5 * 20 + 20 < 60"),
    (1.0, 20.0, 10.0, True, "1.5 * 30 + 20 > 60"),
    (1.0, 10.0, 20.0, True, "a checkpoint counts like a step"),
    (0.3, 0.0, 0.0, True, "20 s are always kept"),
    (10.0, 290.0, None, False, "without a checkpoint seen, a tenth of the time: 1.5 * (290 + 60) + 60 < 600"),
    (10.0, 310.0, None, True, "1.5 * (310 + 60) + 60 > 600"),
    (1440.0, 0.0, 57519.0, False, "1.5 * 57519 + 120 < 86400"),
    (1440.0, 0.0, 57521.0, True, "1.5 * 57521 + 120 > 86400"),
]


@pytest.mark.parametrize(("minutes", "step", "write", "over", "reason"), BUDGETS, ids=[row[-1] for row in BUDGETS])
def test_a_budget_holds_one_more_step_and_checkpoint_or_is_over(minutes, step, write, over, reason):
    budget = Budget(now(), minutes, write)
    budget.stepped(step)
    budget.stepped(step / 2)  # the longest counts
    assert budget.is_over() == over, reason


def test_the_first_checkpoint_replaces_the_guess_and_the_longest_one_counts():
    budget = Budget(now(), 10.0)
    for seconds, expected in ((1.0, 1.0), (3.0, 3.0), (2.0, 3.0)):
        budget.wrote(seconds)
        assert budget.write == expected
    known = Budget(now(), 10.0, written=5.0)
    known.wrote(1.0)
    assert known.write == 5.0, "of the checkpoint that the training goes on from"


# What became of the attempts. A row: job, end or the error that it ended with, steps done by then.


def attempt(state: Path, monkeypatch: pytest.MonkeyPatch, job: str | None, end: Any, reached: int) -> Attempts:
    """One attempt that goes on from step 20 and does `reached` steps in all."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    attempts = Attempts(state, steps=50)
    attempts.refuse_a_third(resume=20)
    try:
        with attempts.one_more(20, "logs/attempts.log"):
            (state / "train.jsonl").write_text('{"a": 1}\n' * reached)
            if isinstance(end, BaseException):
                raise end
            if end == "out of time":
                attempts.out_of_time()
    except (Exception, KeyboardInterrupt) as error:
        assert error is end
    return attempts


KILLED = None
SAME_STEP = [
    ("two killed in the same step", [("1", KILLED, 27), ("2", KILLED, 27)], False),
    ("two with a killed rank", [("1", KilledError("x"), 27), ("2", KilledError("x"), 27)], False),
    ("two with the same error", [("1", ValueError("x"), 27), ("2", ValueError("x"), 27)], True),
    ("an error, then killed", [("1", ValueError("x"), 27), ("2", KILLED, 27)], True),
    ("killed, then an error", [("1", KILLED, 27), ("2", ValueError("x"), 27)], True),
    ("without Slurm too", [(None, ValueError("x"), 27), (None, ValueError("x"), 27)], True),
    ("one", [("1", KILLED, 27)], False),
    ("the second came further", [("1", KILLED, 27), ("2", KILLED, 28)], False),
    ("the second came less far", [("1", KILLED, 27), ("2", KILLED, 26)], False),
    ("Slurm started both again", [("1", KILLED, 27), ("1", KILLED, 27)], False),
    ("requeued, then failed", [("1", KILLED, 27), ("1", KILLED, 27), ("2", ValueError("x"), 27)], True),
    ("an error is no preemption", [("1", ValueError("x"), 27), ("1", ValueError("x"), 27)], True),
    ("a full disk between them", [("1", ValueError("x"), 27), ("2", FullDisk("x"), 27), ("3", KILLED, 27)], True),
    ("full disks", [("1", FullDisk("x"), 27), ("2", FullDisk("x"), 27)], False),
    ("Ctrl-C", [("1", KeyboardInterrupt(), 27), ("2", KeyboardInterrupt(), 27)], False),
    ("jobs' times", [("1", "out of time", 27), ("2", "out of time", 28)], False),
    ("progress between them", [("1", KILLED, 27), ("2", "out of time", 30), ("3", KILLED, 27)], False),
    ("none between them", [("1", ValueError("x"), 27), ("2", "out of time", 25), ("3", KILLED, 27)], True),
]


@pytest.mark.parametrize(("reason", "rows", "refused"), SAME_STEP, ids=[row[0] for row in SAME_STEP])
def test_what_died_twice_in_the_same_step_is_not_tried_again(tmp_path, monkeypatch, reason, rows, refused: bool):
    for row in rows:
        attempt(tmp_path, monkeypatch, *row)
    following = rows[-1][0] if reason.startswith("Slurm") else "99"
    monkeypatch.setenv("SLURM_JOB_ID", following)
    attempts = Attempts(tmp_path, steps=50)
    if refused:
        with pytest.raises(UserError):
            attempts.refuse_a_third(resume=20)
    else:
        attempts.refuse_a_third(resume=20)


def test_the_refusal_names_step_jobs_reason_log_and_the_way_out(tmp_path, monkeypatch):
    attempt(tmp_path, monkeypatch, "12", ValueError("first line\nsecond"), 27)
    attempt(tmp_path, monkeypatch, "15", KILLED, 27)
    monkeypatch.setenv("SLURM_JOB_ID", "16")
    with pytest.raises(UserError) as caught:
        Attempts(tmp_path, steps=50).refuse_a_third(resume=20)
    assert str(caught.value) == (
        f"{tmp_path}: ended twice in step 28 (Slurm job 12 on n1; Slurm job 15 on n1): ValueError: first line; "
        f"read logs/attempts.log; mend the cause, remove {tmp_path}/attempts.json and run again: "
        "it goes on from step 20"
    )
    (tmp_path / "attempts.json").unlink()
    Attempts(tmp_path, steps=50).refuse_a_third(resume=20)


def test_every_earlier_attempt_is_told_in_one_line(tmp_path, monkeypatch):
    ends = [KILLED, KILLED, ValueError("x"), FullDisk("x"), KeyboardInterrupt(), "out of time", KILLED]
    for job, end, reached in zip(
        ("7", "7", "8", "9", "10", "11", "12"), ends, (21, 22, 23, 24, 25, 26, 50), strict=True
    ):
        attempt(tmp_path, monkeypatch, job, end, reached)
    monkeypatch.setenv("SLURM_JOB_ID", "13")
    assert Attempts(tmp_path, steps=50).told() == [
        "attempt 1: Slurm job 7 on n1, from step 20, died in step 22; "
        "Slurm started it again (preempted, or its node was lost)",
        "attempt 2: Slurm job 7 on n1, from step 20, died in step 23",
        "attempt 3: Slurm job 8 on n1, from step 20, failed in step 24: ValueError: x",
        "attempt 4: Slurm job 9 on n1, from step 20, stopped in step 25: the disk was full",
        "attempt 5: Slurm job 10 on n1, from step 20, interrupted in step 26",
        "attempt 6: Slurm job 11 on n1, from step 20, used its time up after step 26",
        "attempt 7: Slurm job 12 on n1, from step 20, died after the last step",
    ]


def test_the_first_rank_that_fails_has_the_word(tmp_path, monkeypatch):
    """Its neighbours fail after it, and rank 0, which keeps the mark, may be one of them."""

    class Neighbours(Exception):
        pass

    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    attempts = Attempts(tmp_path, steps=50)
    with pytest.raises(Neighbours), attempts.one_more(0, None):
        assert leave_word(tmp_path, ValueError("the cause"))
        assert not leave_word(tmp_path, Neighbours("connection closed"))
        raise Neighbours("connection closed")
    assert attempts.told()[0].endswith("failed in step 1: ValueError: the cause")
    with attempts.one_more(0, None):  # what the last attempt said is not said of this one
        assert leave_word(tmp_path, ValueError("another"))
    assert Attempts(tmp_path, steps=50).told()[1].endswith("failed in step 1: ValueError: another")


# The lock, when Slurm has lost a node on which the job still runs.


def test_an_earlier_start_of_the_same_job_is_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with holder(tmp_path, "12") as process:
        threading.Timer(2.0, process.kill).start()
        with state_folder(tmp_path, "key"):
            assert process.poll() == -9
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert f"in use by process {process.pid}" in told and "which Slurm started before; waiting for its end" in told


def test_another_job_is_not_waited_for_nor_the_same_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("stgrpo.state._PATIENCE", 2.0)
    with holder(tmp_path, "12"):
        for job, least, most in (("13", 0.0, 2.0), ("12", 2.0, 4.0)):
            monkeypatch.setenv("SLURM_JOB_ID", job)
            began = time.monotonic()
            with pytest.raises(UserError, match="in use by process .*, Slurm job 12; wait for it"):
                state_folder(tmp_path, "key").__enter__()
            assert least < time.monotonic() - began < most


# Real trainings.


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, questions, scores, policy_path) -> dict[str, Path]:
    return as_files(tmp_path_factory.mktemp("inputs"), questions, scores, policy_path)


@pytest.mark.slow
def test_slices_of_time_end_bit_for_bit_like_one_undisturbed_run(tmp_path, inputs):
    """Each has time for one step, which it always takes; so there are checkpoints at steps that had none before."""
    calm, sliced = tmp_path / "calm", tmp_path / "sliced"
    finish(start_verb(SPEC, calm, inputs, *MORE))
    for done in (1, 2):
        process = start_verb(SPEC, sliced, inputs, *MORE, "--minutes=0.01", SLURM_JOB_ID=str(done))
        said, _ = process.communicate(timeout=300)
        assert process.returncode == os.EX_TEMPFAIL, said
        assert said.splitlines()[-1] == (
            f"the 0.01 minutes of the job are used up at step {done} of {STEPS}; a checkpoint is written, the next job "
            "goes on from it; it had time for one step only: give it more"
        )
        assert "Traceback" not in said
    said = finish(start_verb(SPEC, sliced, inputs, *MORE, "--minutes=60"))
    assert "Slurm job 2" in said.splitlines()[1] and "used its time up after step 2" in said.splitlines()[1]
    assert f"resuming from step 2 of {STEPS}" in said
    assert sha256(sliced / "model" / "model.safetensors") == sha256(calm / "model" / "model.safetensors")
    assert history(sliced) == history(calm)
    for name in ("rollouts.jsonl", "groups.jsonl"):
        assert (sliced / name).read_text() == (calm / name).read_text()
    made = read_json(sliced / "train.json")["provenance"]["attempts"]
    assert [(row["start"], row["end"], row["reached"]) for row in made] == [
        (0, "out of time", 1),
        (1, "out of time", 2),
        (2, "finished", STEPS),
    ]
    assert [path.name for path in (sliced / "state").iterdir()] == ["lock"]


def die(out: Path, inputs, job: str, fate: str = "killed") -> str:
    """A start that is killed or fails in its first step, and what it said before."""
    process = start_verb(SPEC, out, inputs, *MORE, PROBE_FAIL=fate, SLURM_JOB_ID=job, SLURMD_NODENAME="n1")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == {"killed": -9, "bug": 1}[fate], said
    return said


@pytest.mark.slow
def test_a_training_that_dies_twice_in_the_same_step_is_refused_before_torch_is_read(tmp_path, inputs):
    die(tmp_path, inputs, "7")
    again = "attempt 1: Slurm job 7 on n1, from step 0, died in step 1; Slurm started it again"
    assert again in die(tmp_path, inputs, "7"), "the same job: that death does not count"
    die(tmp_path, inputs, "8")
    killed = "ended twice in step 1 (Slurm job 7 on n1; Slurm job 8 on n1): killed; if nobody did that, it is short"
    assert killed in die(tmp_path, inputs, "9", "bug"), "who was only killed may try again"
    words = verb(SPEC, tmp_path, inputs, *MORE)
    program = f"import sys; from stgrpo.__main__ import main; print(main({words!r}), 'torch' in sys.modules)"
    environment = {**os.environ, "SLURM_JOB_ID": "10"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "2 False"
    assert done.stderr.count("\n") == 1
    mark = tmp_path / "state" / "attempts.json"
    assert "ended twice in step 1 (Slurm job 8 on n1; Slurm job 9 on n1): ValueError: this is bug" in done.stderr
    assert f"remove {mark} and run again: it goes on from step 0" in done.stderr
    assert len(json.loads(mark.read_text())["attempts"]) == 4, "a refusal is no attempt"
    mark.unlink()
    finish(start_verb(SPEC, tmp_path, inputs, *MORE))


def test_an_orphan_that_works_on_costs_no_retry(tmp_path, inputs, monkeypatch, capsys):
    """The job is put back into the queue, and looks again."""
    monkeypatch.setattr("stgrpo.state._PATIENCE", 1.0)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with holder(tmp_path / "state", "12"), pytest.raises(SystemExit) as end:
        main(verb(SPEC, tmp_path, inputs, *MORE, "--minutes=5"))
    assert end.value.code == os.EX_TEMPFAIL
    assert "the next job looks again" in capsys.readouterr().out


@pytest.mark.slow
def test_what_an_earlier_start_of_the_job_finishes_is_not_trained_again(tmp_path, inputs):
    first = start_verb(SPEC, tmp_path, inputs, *MORE, SLURM_JOB_ID="12")
    wait_for((tmp_path / "state" / "attempts.json").exists, first)
    second = start_verb(SPEC, tmp_path, inputs, *MORE, SLURM_JOB_ID="12")
    said = finish(second)
    finish(first)
    assert "waiting for its end" in said
    assert said.splitlines()[-1].endswith("finished the training; there is nothing left to do")
    made = read_json(tmp_path / "train.json")["provenance"]
    assert [row["process"] for row in made["attempts"]] == [first.pid]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["lock"]
    again = finish(start_verb(SPEC, tmp_path, inputs, *MORE, SLURM_JOB_ID="13"))
    assert "wrote" in again, "another job trains when it is told to"


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [(), ("--processes=2", "--micro-rows=4")], ids=["one process", "two ranks"])
def test_slurms_warning_before_the_end_is_not_the_trainings_fault(tmp_path, inputs, ranks: tuple[str, ...]):
    """SIGTERM comes to every process of a job that is cancelled or preempted, here in the same step twice."""
    for job in ("11", "12"):
        process = start_verb(SPEC, tmp_path, inputs, *MORE, *ranks, SLURM_JOB_ID=job)
        wait_for(lambda: (tmp_path / "state" / "attempts.json").exists(), process)
        wait_for(lambda job=job: f'"{job}"' in (tmp_path / "state" / "attempts.json").read_text(), process)
        os.killpg(process.pid, signal.SIGTERM)
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 1 and "interrupted; run again, and it goes on from step 0" in said
        assert "Traceback" not in said
    said = finish(start_verb(SPEC, tmp_path, inputs, *MORE, *ranks, SLURM_JOB_ID="13"))
    assert "attempt 1: Slurm job 11" in said and "interrupted in step 1" in said
    assert (tmp_path / "train.json").exists()


def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match="takes no locks .*Lustre"), state_folder(tmp_path, "key"):
        pass
