# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of store does the same, on real servers: objects appear whole or not at all, and errors have reasons."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.pipeline import DumpWriter, open_dump
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.store_errors import ObjectMissingError
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store, open_store
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from localstack.azurite import AzureServer
from localstack.object_store import BUCKET, S3Server
from localstack.processes import free_port

pytestmark = pytest.mark.feature("B05")


def write(store: Store, path: str, *chunks: bytes) -> None:
    """Write an object as a stream."""
    writer = store.writer(path)
    for chunk in chunks:
        writer.write(chunk)
    writer.commit()


def paths(store: Store, prefix: str = "") -> list[str]:
    """All paths in a store."""
    return sorted(one.path for one in store.list(prefix))


def test_small_objects(store: Store) -> None:
    assert paths(store) == []
    assert store.find("a/x.json") is None
    store.write("a/x.json", b"one")
    store.write("a/x.json", b"two!")
    assert store.read("a/x.json") == b"two!"
    found = store.find("a/x.json")
    assert found
    assert (found.path, found.size) == ("a/x.json", 4)
    assert abs(found.modified - datetime.now(UTC)) < timedelta(minutes=2)
    store.remove("a/x.json")
    store.remove("a/x.json")
    assert store.find("a/x.json") is None
    with pytest.raises(ObjectMissingError) as caught:
        store.read("a/x.json")
    assert caught.value.reason is Reason.NOT_VERIFIABLE


@pytest.mark.parametrize("size", [0, 1, 8 << 20, (24 << 20) + 5])
def test_streams_of_any_length(store: Store, size: int) -> None:
    data = os.urandom(size)
    write(store, "big", *(data[start : start + 999_999] for start in range(0, size, 999_999)))
    found = store.find("big")
    assert found
    assert found.size == size
    with store.reader("big") as source:
        assert source.read() == data
    if size > 100:
        with store.reader("big", start=size - 16) as source:
            assert source.read() == data[-16:]


def test_an_object_appears_when_it_is_committed(store: Store) -> None:
    store.write("x", b"before")
    writer = store.writer("x")
    writer.write(bytes(20 << 20))
    assert store.read("x") == b"before"
    writer.commit()
    found = store.find("x")
    assert found
    assert found.size == 20 << 20


def test_nothing_is_left_of_what_is_aborted(store: Store) -> None:
    for size in (0, 10, 30 << 20):
        writer = store.writer("x")
        writer.write(os.urandom(size))
        writer.abort()
    assert paths(store) == []


def test_no_upload_is_left_on_the_server(s3: Store, s3_server: S3Server) -> None:
    writer = s3.writer("x")
    writer.write(os.urandom(40 << 20))
    writer.abort()
    assert [key for key in s3_server.objects() if key.startswith(s3.prefix)] == []
    assert s3_server.uploads() == []


def test_lists_are_of_folders(store: Store) -> None:
    for path in ("a/1", "a/b/2", "ab/3", "4"):
        store.write(path, path.encode())
    assert paths(store) == ["4", "a/1", "a/b/2", "ab/3"]
    assert paths(store, "a") == ["a/1", "a/b/2"]
    assert paths(store, "a/b/") == ["a/b/2"]
    assert paths(store, "none") == []


def test_long_lists_are_whole(s3: Store) -> None:
    # A server answers with at most 1,000 at once.
    expected = sorted(f"many/{number:04}" for number in range(1100))
    for path in expected:
        s3.write(path, b"")
    assert paths(s3) == expected


@pytest.mark.parametrize("name", ["100%", "a%2Fb", "ü 日本", "a+b&c=d?e", "it's", "x~y", "a:b*c"])
def test_names_with_special_characters(store: Store, name: str) -> None:
    store.write(f"d/{name}", b"x")
    write(store, f"e/{name}.dump", b"y")
    assert paths(store) == [f"d/{name}", f"e/{name}.dump"]
    assert store.read(f"d/{name}") == b"x"
    assert store.reader(f"e/{name}.dump").read() == b"y"
    store.remove(f"d/{name}")
    assert paths(store, "d") == []


@pytest.mark.parametrize("path", ["../other/x", "/etc/passwd", "a/../../x", "a//b", "x\n", ""])
def test_no_path_leaves_the_prefix(store: Store, path: str) -> None:
    for use in (store.find, store.read, store.remove, store.reader, store.writer, lambda one: store.write(one, b"")):
        with pytest.raises(DbopsError) as caught:
            use(path)
        assert caught.value.reason is Reason.INVALID_SPEC


@pytest.mark.feature("B03", "B04", "B06")
@pytest.mark.parametrize("encryption", [None, {"key": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="}])
def test_dumps_go_there_and_back(store: Store, encryption: dict[str, Any] | None) -> None:
    data = os.urandom(1 << 20) * 9
    dump = DumpWriter(store, "x.gz", encryption=encryption, compression={"algorithm": "gzip", "level": 1})
    dump.write(data)
    facts = dump.finish()
    kind = "aes-256-gcm" if encryption else None
    with open_dump(store, "x.gz", compression="gzip", encryption=kind, decryption=encryption, expected=facts) as source:
        assert source.read() == data


def test_a_prefix_is_written_once(s3_server: S3Server, unique: Callable[[str], str]) -> None:
    prefix = unique("p")
    open_store(s3_server.storage(f"/{prefix}/deep/")).write("x", b"1")
    assert f"{prefix}/deep/x" in s3_server.objects()


def attempts(store: Store) -> list[Callable[[], object]]:
    """Everything that asks a store for something."""

    def stream() -> None:
        writer = store.writer("x")
        try:
            writer.write(bytes(9 << 20))
            writer.commit()
        except DbopsError:
            writer.abort()
            raise

    return [
        lambda: list(store.list()),
        lambda: store.find("x"),
        lambda: store.read("x"),
        lambda: store.write("x", b"1"),
        lambda: store.remove("x"),
        lambda: store.reader("x").read(),
        stream,
    ]


def reasons(store: Store) -> set[Reason]:
    """The reasons that every use of a store fails with."""
    found = set()
    for attempt in attempts(store):
        with pytest.raises(DbopsError) as caught:
            attempt()
        found.add(caught.value.reason)
        assert "secret" not in caught.value.message
    return found


def test_a_wrong_secret_key_is_told(s3_server: S3Server) -> None:
    storage = s3_server.storage()
    storage["s3"]["secret_key"] = "of-somebody-else"
    assert reasons(open_store(storage)) == {Reason.AUTHENTICATION_FAILED}


def test_a_bucket_that_is_gone_is_told(s3_server: S3Server) -> None:
    store = open_store(s3_server.storage(bucket="gone"))
    found = set()
    for attempt in attempts(store):
        try:
            attempt()
        except DbopsError as error:
            found.add((error.reason, "bucket" in error.message))
    assert found == {(Reason.INVALID_SPEC, True)}


@pytest.mark.slow
def test_azure_tells_a_wrong_key_and_a_container_that_is_gone(azure_server: AzureServer) -> None:
    storage = azure_server.storage()
    storage["azure"]["key"] = "c29tZWJvZHkgZWxzZQ=="
    assert reasons(open_store(storage)) == {Reason.PRIVILEGE_MISSING}
    with pytest.raises(DbopsError, match="container does not exist") as caught:
        open_store(azure_server.storage(container="gone")).read("x")
    assert caught.value.reason is Reason.INVALID_SPEC


@pytest.mark.slow
def test_a_server_that_is_gone_is_told(s3_server: S3Server) -> None:
    storage = s3_server.storage(endpoint=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DbopsError, match="cannot be reached") as caught:
        open_store(storage).read("x")
    assert caught.value.reason is Reason.CONNECTION_FAILED


def test_the_environment_gives_nothing(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of the machine")
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    open_store(s3_server.storage("environment")).write("x", b"1")
    assert os.environ["AWS_SESSION_TOKEN"] == "of the machine"
    for kind, name, options in (
        ("s3", "access_key", {"bucket": BUCKET, "region": "us-east-1", "access_key": "", "secret_key": ""}),
        ("azure", "key", {"container": "c", "account": "a", "key": ""}),
        ("gcs", "credentials", {"bucket": "b", "credentials": ""}),
    ):
        with pytest.raises(DbopsError) as caught:
            open_store({"type": kind, kind: options})
        assert caught.value.reason is Reason.INVALID_SPEC
        assert caught.value.field == f"storage.{kind}.{name}"


@pytest.mark.parametrize(
    ("storage", "field"),
    [
        ({"type": "s3"}, "storage.s3"),
        ({"type": "file", "file": {"path": "relative"}}, "storage.file.path"),
        ({"type": "file", "file": {"path": "/nowhere/at/all"}}, "storage.file.path"),
        ({"type": "file", "prefix": "../up", "file": {"path": "/tmp"}}, "storage.prefix"),
        (
            {"type": "s3", "s3": {"bucket": "b", "endpoint": "ftp://x", "access_key": "a", "secret_key": "b"}},
            "storage.s3.endpoint",
        ),
        ({"type": "gcs", "gcs": {"bucket": "b", "credentials": "{not json"}}, "storage.gcs.credentials"),
        ({"type": "gcs", "gcs": {"bucket": "b", "credentials": "[]"}}, "storage.gcs.credentials"),
    ],
)
def test_storage_that_cannot_be_is_refused(storage: dict[str, Any], field: str) -> None:
    with pytest.raises(DbopsError) as caught:
        open_store(storage)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.field == field


def test_errors_of_the_file_system_have_reasons(files: Store, directory: Path) -> None:
    files.write("file", b"x")
    with pytest.raises(DbopsError) as caught:
        files.write("file/below", b"x")
    assert caught.value.reason is Reason.INVALID_SPEC
    directory.rename(directory.with_name("elsewhere"))
    with pytest.raises(ObjectMissingError):
        files.read("file")
