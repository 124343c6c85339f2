"""Share work among processes of this machine and take their results in the order of the work."""

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from stgrpo.errors import UserError

R = TypeVar("R")

_FAREWELL = 5.0  # seconds that a shard has to end by itself


def in_shards(work: Callable[..., Iterator[R]], shards: int, arguments: Sequence[Any]) -> Iterator[R]:
    """The results of `work(shard, shards, *arguments)`, the first of every shard, then the second of every shard, ...

    Args:
        work: a function of a module, so that another process can import it; its results are picklable. A shard gives
            as many as its neighbour before it or one less, so that the first to end is behind the last result.
        shards: 1 is this process itself.
        arguments: picklable.

    Raises:
        UserError: a shard raised one, or was killed.
        RuntimeError: a shard raised anything else; the text holds its traceback.
    """
    if shards == 1:
        yield from work(0, 1, *arguments)
        return
    context = multiprocessing.get_context("spawn")
    started: list[tuple[Connection, BaseProcess]] = []
    try:
        for shard in range(shards):
            ours, theirs = context.Pipe(duplex=False)
            given = (theirs, work, shard, shards, arguments)
            process = context.Process(target=_shard, args=given, name=f"shard {shard + 1} of {shards}")
            process.start()
            theirs.close()  # the shard's is then the only one: when it ends, the pipe does
            started.append((ours, process))
        while True:
            for pipe, process in started:
                results = _receive(pipe, process)
                if not results:
                    for _, other in started:  # they have nothing left to do either
                        other.join(_FAREWELL)
                    return
                yield from results
    finally:
        for pipe, process in started:
            pipe.close()
            process.kill()
            process.join()


def _receive(pipe: Connection, process: BaseProcess) -> list[Any]:
    """The next result, or none when there are no more."""
    try:
        said = pipe.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        end = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        raise UserError(f"{process.name}: {end}; if memory ran out, give the job more, and run it again") from None
    if isinstance(said, Exception):
        raise said
    return said


def _shard(
    pipe: Connection, work: Callable[..., Iterator[Any]], shard: int, shards: int, arguments: Sequence[Any]
) -> None:
    """The life of a shard. A parent that was killed is noticed at the next result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this one
    try:
        for result in work(shard, shards, *arguments):
            pipe.send([result])
        pipe.send([])
    except UserError as error:
        pipe.send(error)
    except BrokenPipeError:
        return
    except Exception:
        pipe.send(RuntimeError(f"in shard {shard + 1} of {shards}: {traceback.format_exc()}"))
