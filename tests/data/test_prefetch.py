"""Batches read ahead: the same ones, in order, with their errors, and no thread left behind."""

from __future__ import annotations

import threading
import time

import pytest

from mmcl.data.prefetch import Prefetch


def n_threads() -> int:
    return sum(t.name == "prefetch" for t in threading.enumerate())


def test_same_items_in_order_each_time():
    ahead = Prefetch(list(range(50)))
    assert list(ahead) == list(ahead) == list(range(50))
    assert list(Prefetch([])) == []
    assert n_threads() == 0


def test_reads_ahead_but_not_too_far():
    read = []

    def source():
        for i in range(20):
            read.append(i)
            yield i

    items = iter(Prefetch(source(), ahead=3))
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(read) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(read) == 5  # one taken, three waiting, one that finds no place
    assert list(items) == list(range(1, 20))


def test_an_error_comes_where_its_item_would_have():
    def source():
        yield 1
        raise KeyError("second")

    seen: list[int] = []
    with pytest.raises(KeyError, match="second"):
        seen.extend(Prefetch(source()))
    assert seen == [1]
    assert n_threads() == 0


def test_leaving_early_ends_the_thread():
    for item in Prefetch(iter(range(10**9))):
        if item == 3:
            break
    deadline = time.monotonic() + 10
    while n_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert n_threads() == 0
