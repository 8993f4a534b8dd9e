# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes between threads: all arrive, in order, in bounded memory, and neither end waits for one that gave up."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.handover import (
    AbandonedError,
    ChunkReader,
    ChunkWriter,
    Handover,
)


def in_thread(function: object) -> threading.Thread:
    assert callable(function)
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_all_bytes_arrive_in_order_through_little_room() -> None:
    handover = Handover(limit=10)
    chunks = [bytes([number % 256]) * (number % 23) for number in range(500)]

    def put() -> None:
        for chunk in chunks:
            handover.put(chunk)
        handover.end()

    thread = in_thread(put)
    assert ChunkReader(handover.take).readall() == b"".join(chunks)
    thread.join(timeout=10)


def test_who_puts_waits_while_there_is_no_room() -> None:
    handover = Handover(limit=4)
    handover.put(b"12345")
    done = threading.Event()

    def put() -> None:
        handover.put(b"6")
        done.set()

    thread = in_thread(put)
    assert not done.wait(timeout=0.2)
    assert handover.take() == b"12345"
    assert done.wait(timeout=10)
    thread.join(timeout=10)


def test_who_waits_is_told_that_the_other_end_gave_up() -> None:
    waiting_to_put, waiting_to_take = Handover(limit=1), Handover()
    waiting_to_put.put(b"full")
    raised: list[str] = []

    def put() -> None:
        with pytest.raises(OSError, match="taker"):
            waiting_to_put.put(b"more")
        raised.append("putter")

    def take() -> None:
        with pytest.raises(AbandonedError):
            waiting_to_take.take()
        raised.append("taker")

    threads = [in_thread(put), in_thread(take)]
    waiting_to_put.fail(OSError("taker is gone"))
    waiting_to_take.fail(AbandonedError())
    for thread in threads:
        thread.join(timeout=10)
    assert sorted(raised) == ["putter", "taker"]


def test_the_first_error_stays() -> None:
    handover = Handover()
    handover.fail(OSError("first"))
    handover.fail(AbandonedError())
    with pytest.raises(OSError, match="first"):
        handover.put(b"x")


def test_writer_gathers_blocks_and_copies() -> None:
    given: list[bytes] = []
    writer = ChunkWriter(given.append, 4)
    memory = bytearray(b"abc")
    writer.write(memory)
    memory[:] = b"xyz"
    assert given == []
    writer.write(b"d")
    writer.write(b"e")
    writer.drain()
    assert given == [b"abcd", b"e"]
