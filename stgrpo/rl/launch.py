"""Start the ranks of one training on this machine, wait for them, and end all of them when one fails.

A rank finds what it needs to know about the others in its environment, under torch's names (RANK, LOCAL_RANK,
WORLD_SIZE, MASTER_ADDR, MASTER_PORT), so that the work that it does may also be started by another launcher.

Three ways to share the work, equal in result to the rounding of sums (tests/test_distributed.py; ZeRO-3 in float32
only: in bf16 its loss was seen 2 % away from the others' after two steps):
- DDP, without a DeepSpeed file: every rank holds the weights, their gradients and both moments of AdamW.
- envs/zero2.json: gradients and moments are spread over the ranks.
- envs/zero3.json: the weights too, the reference model's included. They are gathered, layer by layer, when they are
  used, all at once while answers are generated, and whole when a checkpoint is written.

The two files, since JSON holds no comments: "auto" is filled in by transformers from the trainer's own configuration,
so that nothing is said twice; no optimizer is named, so that torch's AdamW is used and no operator is compiled; no
bf16, because DeepSpeed's would turn the weights themselves into bf16, which at a learning rate of 1e-6 hardly move
(`trainer_config` adds autocast instead); the whole weights are gathered on saving, because they are what is published.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from stgrpo.errors import UserError
from stgrpo.rl.attempts import KilledError

_HERE = "127.0.0.1"
_FAREWELL = 5.0  # seconds
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True, order=True)
class _Failure:
    """Why a rank ended; the earliest is the cause, since a rank that ends takes the others' connections with it."""

    when: float  # seconds of the machine's monotonic clock
    error: Exception = field(compare=False)  # UserError or RuntimeError


def launch(work: Callable[..., None], arguments: Sequence[Any], processes: int) -> None:
    """Run `work(*arguments)` here, or in `processes` new ranks; return when all of them have ended well.

    Args:
        work: a function of a module, so that a rank can import it.
        arguments: picklable.
        processes: 1 is this process itself.

    Raises:
        UserError: a rank raised one, or was killed. No rank is left when this is raised.
        RuntimeError: a rank raised anything else; the text holds its traceback.
    """
    if processes == 1:
        work(*arguments)
        return
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    store = TCPStore(_HERE, 0, is_master=True, wait_for_workers=False)  # held from here on: no other can take the port
    context = multiprocessing.get_context("spawn")
    ranks: dict[Connection, BaseProcess] = {}
    try:
        for rank in range(processes):
            ours, theirs = context.Pipe(duplex=False)
            environment = _environment(rank, processes, store.port)
            given = (theirs, os.getpid(), environment, work, arguments)
            process = context.Process(target=_rank, args=given, name=f"rank {rank}")
            process.start()
            theirs.close()  # the rank's is then the only one: when it ends, the pipe does
            ranks[ours] = process
        _wait(ranks)
    finally:
        for process in ranks.values():
            process.kill()
            process.join()


def _environment(rank: int, processes: int, port: int) -> dict[str, str]:
    number = str(rank)
    size = str(processes)
    return {
        "RANK": number,
        "LOCAL_RANK": number,
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "MASTER_ADDR": _HERE,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the launcher holds the meeting point, not rank 0
    }


def _wait(ranks: dict[Connection, BaseProcess]) -> None:
    running = dict(ranks)
    while running:
        ready = [pipe for pipe in wait(list(running)) if isinstance(pipe, Connection)]
        failures = [failure for pipe in ready if (failure := _outcome(pipe, running.pop(pipe)))]
        if failures:
            first = min(failures)
            _say_farewell(ranks.values())
            raise first.error


def _say_farewell(processes: Iterable[BaseProcess]) -> None:
    """A rank whose neighbour is gone mostly ends by itself, and tidies up; what is left then is killed."""
    deadline = time.monotonic() + _FAREWELL
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))


def _outcome(pipe: Connection, process: BaseProcess) -> _Failure | None:
    """What a rank said before it ended, or what its end says, None if all is well."""
    try:
        return pipe.recv()
    except EOFError:
        process.join()
    code = process.exitcode or 0
    if code < 0:
        name = signal.Signals(-code).name
        text = f"{process.name} was ended by {name}; if memory ran out, give the job more or lower --micro-rows"
        return _Failure(0.0, KilledError(f"{text}, and run again"))
    return _Failure(0.0, RuntimeError(f"{process.name} ended with status {code} without a reason")) if code else None


def _rank(
    pipe: Connection, parent: int, environment: dict[str, str], work: Callable[..., None], arguments: Sequence[Any]
) -> None:
    """The life of a rank."""
    _end_with(parent)
    os.environ.update(environment)
    try:
        work(*arguments)
    except UserError as error:
        pipe.send(_Failure(time.monotonic(), error))
        sys.exit(1)
    except Exception as error:
        text = f"{type(error).__name__} in rank {environment['RANK']}: {error}\n{traceback.format_exc()}"
        pipe.send(_Failure(time.monotonic(), RuntimeError(text)))
        sys.exit(1)
    from torch.distributed import destroy_process_group

    destroy_process_group()


def _end_with(parent: int) -> None:
    """Let the kernel end this process when the launcher ends, however it ends: nobody may go on writing its state."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the launcher too, which ends the ranks
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os.kill(os.getpid(), signal.SIGKILL)
