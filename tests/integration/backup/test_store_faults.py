# SPDX-License-Identifier: GPL-3.0-or-later
"""A store on a bad day: what passes by itself is waited for, what does not ends with a reason and nothing left over."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.faulty_proxy import Asked, BreakAnswer, BreakRequest, Fault, FaultyProxy, Refuse

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.pipeline import (
    DumpWriter,
    check_stored,
    open_dump,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store, open_store
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from localstack.object_store import S3Server

pytestmark = pytest.mark.feature("B05", "B06")

DATA = os.urandom(30 << 20)


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    """A proxy before the S3 server that does no harm yet."""
    with FaultyProxy(s3_server.port) as running:
        yield running


@pytest.fixture
def behind(s3_server: S3Server, proxy: FaultyProxy, unique: Callable[[str], str]) -> Store:
    """A store that is reached through the proxy."""
    return open_store(s3_server.storage(unique("faulty"), endpoint=proxy.endpoint))


def dump(store: Store) -> DumpWriter:
    """Begin a dump that is stored as it comes."""
    return DumpWriter(store, "x.sql", compression={"algorithm": "none"})


def fill(writer: DumpWriter) -> None:
    """Write all of DATA."""
    for start in range(0, len(DATA), 1 << 20):
        writer.write(DATA[start : start + (1 << 20)])


def once(matches: Callable[[Asked], bool], fault: Fault, times: int = 1) -> Callable[[Asked], Fault]:
    """Make a rule that gives FAULT the first TIMES that a request MATCHES."""
    left = [times]

    def rule(asked: Asked) -> Fault:
        if left[0] and matches(asked):
            left[0] -= 1
            return fault
        return None

    return rule


def is_part(asked: Asked) -> bool:
    """Whether a request uploads a part."""
    return asked.method == "PUT" and "partNumber" in asked.path


@pytest.mark.parametrize("fault", [Refuse(500), Refuse(503, "SlowDown"), BreakRequest()], ids=str)
def test_an_upload_goes_on_after_a_fault_that_passes(behind: Store, proxy: FaultyProxy, fault: Fault) -> None:
    proxy.rule = once(is_part, fault, times=3)
    writer = dump(behind)
    fill(writer)
    facts = writer.finish()
    assert facts.stored_bytes == len(DATA)
    check_stored(behind, "x.sql", facts)
    assert sum(is_part(asked) for asked in proxy.asked) == 4 + 3


def end(store: Store, server: S3Server) -> DbopsError:
    """Write a dump that cannot be written; give the error when nothing is left of it."""
    writer = dump(store)
    with pytest.raises(DbopsError) as caught:
        fill_and_finish(writer)
    writer.abort()
    assert [key for key in server.objects() if key.startswith(store.prefix)] == []
    return caught.value


def fill_and_finish(writer: DumpWriter) -> None:
    """Write all of DATA and end the dump."""
    fill(writer)
    writer.finish()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Refuse(403, "ExpiredToken"), Reason.AUTHENTICATION_FAILED),
        (Refuse(403, "AccessDenied"), Reason.PRIVILEGE_MISSING),
        (Refuse(404, "NoSuchBucket"), Reason.INVALID_SPEC),
    ],
    ids=["credentials expired", "right withdrawn", "bucket gone"],
)
@pytest.mark.parametrize("when", ["first", "last part", "completing"])
def test_an_upload_that_cannot_go_on_ends_with_a_reason(
    behind: Store, proxy: FaultyProxy, s3_server: S3Server, fault: Fault, reason: Reason, when: str
) -> None:
    matches: dict[str, Callable[[Asked], bool]] = {
        "first": lambda asked: asked.path.endswith("uploads="),
        "last part": lambda asked: is_part(asked) and "partNumber=4" in asked.path,
        "completing": lambda asked: asked.method == "POST" and "uploadId" in asked.path,
    }
    proxy.rule = lambda asked: fault if matches[when](asked) else None
    error = end(behind, s3_server)
    assert error.reason is reason
    # The upload was aborted, and not only forgotten.
    assert s3_server.uploads() == []
    # It works when the fault is gone.
    proxy.rule = lambda _: None
    fill_and_finish(dump(behind))
    assert behind.find("x.sql")


@pytest.mark.slow
def test_a_store_that_stays_unwilling_is_given_up(behind: Store, proxy: FaultyProxy, s3_server: S3Server) -> None:
    proxy.rule = lambda asked: Refuse(503, "SlowDown") if is_part(asked) else None
    error = end(behind, s3_server)
    assert error.reason is Reason.CONNECTION_FAILED
    assert "503" in error.message
    assert s3_server.uploads() == []


def test_a_download_goes_on_where_it_broke(behind: Store, proxy: FaultyProxy) -> None:
    writer = dump(behind)
    fill_and_finish(writer)
    gets = once(lambda asked: asked.method == "GET" and asked.path.endswith("/x.sql"), BreakAnswer(5 << 20), times=2)
    proxy.rule = gets
    with open_dump(behind, "x.sql") as source:
        assert source.read() == DATA


def test_an_object_that_is_removed_while_it_is_read_is_told(
    behind: Store, proxy: FaultyProxy, s3_server: S3Server
) -> None:
    writer = dump(behind)
    fill(writer)
    facts = writer.finish()
    gets: list[Asked] = []

    def rule(asked: Asked) -> Fault:
        if asked.method != "GET" or not asked.path.endswith("/x.sql"):
            return None
        gets.append(asked)
        if len(gets) == 1:
            return BreakAnswer(5 << 20)
        s3_server.file(f"{behind.prefix}/x.sql").unlink(missing_ok=True)
        return None

    proxy.rule = rule
    with open_dump(behind, "x.sql", expected=facts) as source, pytest.raises(DbopsError) as caught:
        source.read()
    assert caught.value.reason is Reason.NOT_VERIFIABLE
    assert len(gets) > 1


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own can be mounted by root only")
def test_a_full_disk_ends_with_a_reason_and_nothing_is_left(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", small], check=True)
    try:
        writer = dump(open_store({"type": "file", "file": {"path": str(small)}}))
        with pytest.raises(DbopsError, match="no space is left") as caught:
            fill_and_finish(writer)
        writer.abort()
        assert caught.value.reason is Reason.BLOCKED
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
