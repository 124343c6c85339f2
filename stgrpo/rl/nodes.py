"""The ranks of one training over several nodes: srun starts one process a rank, and rank 0 leads.

Rank 0 alone holds the state and puts the results in place; the others wait for its word, which says from which
checkpoint to go on, and end with it. Until then nobody has touched anything, so that a refusal is rank 0's one line.

They meet at rank 0's store, on the first of Slurm's nodes, unless MASTER_ADDR names another address of it (where the
nodes' names do not resolve, or the fast network has names of its own), at a port drawn from the job's number, unless
MASTER_PORT does. srun must get --kill-on-bad-exit=1: a rank that waits for a lost one cannot always notice.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from stgrpo.errors import UserError

_GATHERING = timedelta(minutes=5)  # an image may start slowly
_LEADING = timedelta(days=30)  # rank 0 may wait for a lock, and puts gigabytes in place
_FAREWELL = 5.0  # seconds
_WORD, _HERE, _OVER, _GONE = "word", "here", "over", "gone"

Work = Callable[[Path | None], None]


def train_together(
    nodes: int, processes: int, work: Work, lead: Callable[[Work], None], fail: Callable[[Exception], bool]
) -> None:
    """Be one of `nodes` times `processes` ranks until rank 0 is done.

    Args:
        nodes: of the training.
        processes: on each of them.
        work: what every rank does, from a checkpoint on.
        lead: what rank 0 does; it is given a function that lets all ranks work, and may leave that out.
        fail: told of an error in this rank's work; returns whether it is the first, which is the others' cause.

    Raises:
        UserError: Slurm did not start these ranks, or they did not find each other.
        Exception: what `work` raised in this rank, if it was the first to fail, or `lead`.
    """
    _check_tasks(nodes, processes)
    rank, size = _take_place()
    store = _meet(rank, size)
    if rank == 0:
        _lead(store, size, work, lead, fail)
    else:
        _follow(store, work, fail)


def _check_tasks(nodes: int, processes: int) -> None:
    found = {name: os.environ.get(f"SLURM_{name}", "0") for name in ("NNODES", "NTASKS", "PROCID")}
    if (found["NNODES"], found["NTASKS"]) == (str(nodes), str(nodes * processes)):
        return
    if found["PROCID"] != "0":
        sys.exit()  # rank 0 says it
    raise UserError(
        f"--nodes {nodes} --processes {processes}: needs {nodes * processes} tasks on {nodes} nodes, but Slurm started "
        f"{found['NTASKS']} on {found['NNODES']}; start it in a job of {nodes} nodes with "
        f"srun --nodes={nodes} --ntasks-per-node={processes} --kill-on-bad-exit=1"
    )


def _take_place() -> tuple[int, int]:
    """Put what torch's launchers would say into the environment; this rank and how many there are."""
    from submitit.helpers import TorchDistributedEnvironment, environment_variables

    # submitit asks for its own jobs' variables, which Snakemake's plugin takes away.
    with environment_variables(SUBMITIT_EXECUTOR="slurm", SLURM_JOB_NUM_NODES=os.environ["SLURM_NNODES"]):
        found = TorchDistributedEnvironment()
    found.master_addr = os.environ.get("MASTER_ADDR", found.master_addr)
    found.export(set_cuda_visible_devices=False, overwrite=True)  # LOCAL_RANK chooses the GPU
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # the store below is the meeting point, not a second one
    return found.rank, found.world_size


def _meet(rank: int, size: int) -> Any:
    """The store, once all ranks have come."""
    from torch.distributed import DistError, TCPStore  # pyright: ignore[reportPrivateImportUsage]

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    where = f"rank {rank}: {address}:{port}"
    try:
        socket.getaddrinfo(address, port)
    except OSError:
        if rank != 0:
            sys.exit()  # rank 0 says it
        raise UserError(f"{address}: a name without an address; set MASTER_ADDR to one of the first node's") from None
    try:
        store = TCPStore(address, port, None, rank == 0, timeout=_GATHERING, wait_for_workers=False)
    except DistError as error:
        what = "cannot be listened at" if rank == 0 else "no rank 0"
        raise UserError(f"{where}: {what} ({error}); set MASTER_ADDR and MASTER_PORT, or run again") from None
    store.set_timeout(_LEADING)
    store.add(_HERE, 1)
    deadline = time.monotonic() + _GATHERING.total_seconds()
    while rank == 0 and (came := store.add(_HERE, 0)) < size:
        if time.monotonic() > deadline:
            raise UserError(
                f"{where}: {came} of {size} ranks have come; look for what ended the others, or set MASTER_ADDR to an "
                "address of the first node that all nodes reach"
            )
        time.sleep(0.05)
    return store


def _lead(store: Any, size: int, work: Work, lead: Callable[[Work], None], fail: Callable[[Exception], bool]) -> None:
    def start(checkpoint: Path | None) -> None:
        store.set(_WORD, json.dumps({"checkpoint": checkpoint and str(checkpoint)}))
        try:
            _work(work, checkpoint)
        except Exception as error:
            if not fail(error):
                raise UserError("ended, because another rank has failed and said why") from error
            raise

    try:
        lead(start)
    except BaseException:
        _dismiss(store, size)
        time.sleep(_FAREWELL)  # srun kills the others when this rank ends badly, and reports their end, not this one's
        raise
    _dismiss(store, size)


def _dismiss(store: Any, size: int) -> None:
    """Let the others end, and wait for that as long as may be expected."""
    if not store.check([_WORD]):
        store.set(_WORD, json.dumps(None))
    store.set(_OVER, "")
    deadline = time.monotonic() + _FAREWELL
    while store.add(_GONE, 0) < size - 1 and time.monotonic() < deadline:
        time.sleep(0.05)


def _follow(store: Any, work: Work, fail: Callable[[Exception], bool]) -> None:
    from torch.distributed import DistError  # pyright: ignore[reportPrivateImportUsage]

    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it reaches rank 0 too, which ends the others
    try:
        word = json.loads(store.get(_WORD))
    except DistError:
        sys.exit(1)  # rank 0 is gone; if it could, it has said why
    if word:
        try:
            _work(work, word["checkpoint"] and Path(word["checkpoint"]))
        except Exception as error:
            if not fail(error):
                sys.exit(1)
            raise
    try:
        store.get(_OVER)
        store.add(_GONE, 1)
    except DistError:
        sys.exit(1)


def _work(work: Work, checkpoint: Path | None) -> None:
    from torch.distributed import destroy_process_group, is_initialized

    work(checkpoint)
    if is_initialized():
        destroy_process_group()
