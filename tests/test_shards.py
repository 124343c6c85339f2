"""Shards: order, and what becomes of the others when one ends. Nothing heavy is imported, for each of them would."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from stgrpo.errors import UserError, VideoError
from stgrpo.importance.shards import in_shards


def numbers(shard: int, shards: int, count: int) -> Iterator[int]:
    yield from range(shard, count, shards)


def dies(shard: int, shards: int) -> Iterator[int]:
    yield shard
    if shard == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    yield shard


def refuses(shard: int, shards: int) -> Iterator[int]:
    raise VideoError("x.mp4: no such file")
    yield


def fails(shard: int, shards: int) -> Iterator[int]:
    raise ValueError(f"of {shard}")
    yield


@pytest.mark.parametrize(("shards", "count"), [(1, 4), (2, 5), (3, 3), (3, 7)])
def test_results_of_shards_come_in_the_order_of_the_work(shards: int, count: int):
    assert list(in_shards(numbers, shards, (count,))) == list(range(count))


def test_a_shard_that_is_killed_is_named():
    with pytest.raises(UserError) as caught:
        list(in_shards(dies, 2, ()))
    assert str(caught.value).startswith("shard 2 of 2: ended by SIGKILL; if memory ran out, give the job more")
    assert not multiprocessing.active_children()


def test_what_a_user_can_mend_in_a_shard_is_said_as_it_is():
    with pytest.raises(VideoError, match=r"^x\.mp4: no such file$"):
        list(in_shards(refuses, 2, ()))
    assert not multiprocessing.active_children()


def test_an_error_in_a_shard_keeps_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)^in shard 1 of 2: .*in fails.*ValueError: of 0"):
        list(in_shards(fails, 2, ()))


def test_shards_end_with_the_one_who_asked():
    results: Any = in_shards(numbers, 2, (10**9,))
    assert next(results) == 0
    results.close()
    assert not multiprocessing.active_children()
