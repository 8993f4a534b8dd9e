# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores of backups: S3, GCS, Azure Blob and directories, all through obstore.

`open_store` takes the option `storage` (store_arguments.STORAGE) and gives a Store, whose paths are relative to the
store's prefix. Nothing is asked of the store before the first use. Every error is a DbopsError (store_errors).
"""

from __future__ import annotations

import glob
import io
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import paths
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.handover import ChunkReader
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.store_errors import ObjectMissingError, told
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.store_writer import StoreWriter
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import AzureConfig, BackoffConfig, ClientConfig, GCSConfig, ObjectStore, RetryConfig, S3Config

READ_CHUNK = 1 << 20
SMALL = 8 << 20
"""Bytes that `read` takes at most: manifests, never dumps."""

_AMBIENT = ("AWS_", "GOOGLE_", "AZURE_", "SERVICE_ACCOUNT")
_environment = threading.Lock()


@dataclass(frozen=True)
class StoredObject:
    """An object in a store: its path below the prefix, its size in bytes, and when it was written."""

    path: str
    size: int
    modified: datetime


class Store:
    """Objects below one prefix of a bucket, a container or a directory."""

    def __init__(self, backend: ObjectStore, prefix: str, directory: Path | None = None) -> None:
        """Keep objects of BACKEND below a checked PREFIX; DIRECTORY is where a store of files has them."""
        self._backend = backend
        self.prefix = prefix
        self._directory = directory

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Give the objects in the folder PREFIX, and below, in no certain order."""
        import obstore

        below = paths.joined(self.prefix, paths.checked(prefix, field="prefix", empty=True))
        cut = len(self.prefix) + 1 if self.prefix else 0
        with told(f"listing {below or 'the store'}"):
            for chunk in obstore.list(self._backend, below or None):
                for entry in chunk:
                    yield StoredObject(entry["path"][cut:], entry["size"], entry["last_modified"])

    def find(self, path: str) -> StoredObject | None:
        """Give the object at PATH, or nothing if there is none."""
        import obstore
        from obstore.exceptions import BaseError

        full = self._full(path)
        try:
            entry = obstore.head(self._backend, full)
        except (BaseError, OSError):
            # An answer to HEAD has no text: a bucket that is gone, or who asks, could be the reason as well.
            try:
                with told(f"looking for {path}"):
                    entry = obstore.get(self._backend, full).meta
            except ObjectMissingError:
                return None
        return StoredObject(path, entry["size"], entry["last_modified"])

    def read(self, path: str) -> bytes:
        """Give the content of a small object; raises NotVerifiable for one longer than SMALL or missing."""
        import obstore

        with told(f"reading {path}"):
            answer = obstore.get(self._backend, self._full(path))
            if answer.meta["size"] <= SMALL:
                return bytes(answer.bytes())
        raise DbopsError(Reason.NOT_VERIFIABLE, f"reading {path}: it has more than {SMALL} bytes", field="storage")

    def write(self, path: str, content: bytes) -> None:
        """Write a small object, replacing what is there; it appears whole or not at all."""
        import obstore

        with told(f"writing {path}"):
            obstore.put(self._backend, self._full(path), content, use_multipart=False)
            self._flush(path)

    def remove(self, path: str) -> None:
        """Remove the object at PATH; nothing happens if there is none."""
        import obstore

        try:
            with told(f"removing {path}"):
                obstore.delete(self._backend, self._full(path))
        except ObjectMissingError:
            pass

    def remove_parts(self, path: str) -> None:
        """Remove what a killed writer left of the object at PATH, where that can be seen: in a directory.

        Object stores keep parts of uploads where lists do not show them; their life cycle rules remove those.
        """
        if self._directory is None:
            return
        file = self._directory / self._full(path)
        # As obstore names what it has not renamed yet.
        for part in file.parent.glob(f"{glob.escape(file.name)}#*"):
            if part.name.removeprefix(f"{file.name}#").isdecimal():
                part.unlink(missing_ok=True)

    def reader(self, path: str, *, start: int = 0) -> BinaryIO:
        """Give the content of an object from byte START on, streamed; raises ObjectMissingError."""
        import obstore

        what = f"reading {path}"
        with told(what):
            # Of an empty object no range can be had.
            options: GetOptions = {"range": {"offset": start}} if start else {}
            answer = obstore.get(self._backend, self._full(path), options=options)
            stream = iter(answer.stream(min_chunk_size=READ_CHUNK))

        def take() -> bytes:
            with told(what):
                return bytes(next(stream, b""))

        return io.BufferedReader(ChunkReader(take), READ_CHUNK)

    def writer(self, path: str, *, expected_size: int = 0) -> StoreWriter:
        """Give a stream to a new object that appears, replacing what is there, when it is committed.

        EXPECTED_SIZE in bytes, if it is known, makes the parts of an upload long enough for that many.
        """
        return StoreWriter(
            self._backend, self._full(path), expected_size=expected_size, flush=lambda: self._flush(path)
        )

    def _full(self, path: str) -> str:
        return paths.joined(self.prefix, paths.checked(path, field="path"))

    def _flush(self, path: str) -> None:
        """Have a file, and its name, on disk before anybody counts on it: obstore leaves that to the system."""
        if self._directory is None:
            return
        file = self._directory / self._full(path)
        for name in (file, file.parent):
            descriptor = os.open(name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def open_store(storage: Mapping[str, Any]) -> Store:
    """Give the store that the option `storage` describes; raises InvalidSpec for what is missing in it."""
    kind = storage["type"]
    options = storage.get(kind)
    if not options:
        raise DbopsError(Reason.INVALID_SPEC, f"storage of type {kind} needs storage.{kind}", field=f"storage.{kind}")
    prefix = paths.checked(storage.get("prefix") or "", field="storage.prefix", empty=True)
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise DbopsError(Reason.UNSUPPORTED, "backups need the Python package obstore") from error
    # As a ValueError obstore tells of an option that it cannot read.
    with told(f"the store of type {kind}"), _no_ambient_credentials():
        if kind == "file":
            return _files(options, prefix)
        return Store(_BACKENDS[kind](options), prefix)


def _files(options: Mapping[str, Any], prefix: str) -> Store:
    from obstore.store import LocalStore

    directory = Path(options["path"])
    if not directory.is_absolute():
        message = f"storage.file.path is not absolute: {str(directory)[:100]!r}"
        raise DbopsError(Reason.INVALID_SPEC, message, field="storage.file.path")
    if not directory.is_dir():
        message = f"storage.file.path is no directory: {directory}"
        raise DbopsError(Reason.INVALID_SPEC, message, field="storage.file.path")
    return Store(LocalStore(directory, automatic_cleanup=False), prefix, directory)


def _s3(options: Mapping[str, Any]) -> ObjectStore:
    from obstore.store import S3Store

    endpoint = _given(options, "s3", "endpoint", required=False)
    style = bool(options.get("force_path_style"))
    if endpoint and not style:
        # With an endpoint of its own obstore takes the bucket from nowhere else than the host's name.
        scheme, _separator, host = endpoint.partition("://")
        endpoint = f"{scheme}://{_given(options, 's3', 'bucket')}.{host}"
    config: S3Config = {
        "access_key_id": _given(options, "s3", "access_key"),
        "secret_access_key": _given(options, "s3", "secret_key"),
        "region": options.get("region") or "us-east-1",
        "virtual_hosted_style_request": not style,
    }
    if endpoint:
        config["endpoint"] = endpoint
    bucket = _given(options, "s3", "bucket")
    return S3Store(bucket, config=config, client_options=_client(endpoint), retry_config=_retry())


def _gcs(options: Mapping[str, Any]) -> ObjectStore:
    from obstore.store import GCSStore

    endpoint = _given(options, "gcs", "endpoint", required=False)
    credentials = _given(options, "gcs", "credentials")
    try:
        if not isinstance(json.loads(credentials), dict):
            raise ValueError
    except ValueError as error:
        message = "storage.gcs.credentials is not the JSON key of a service account"
        raise DbopsError(Reason.INVALID_SPEC, message, field="storage.gcs.credentials") from error
    config: GCSConfig = {"service_account_key": credentials}
    if endpoint:
        config["base_url"] = endpoint
    bucket = _given(options, "gcs", "bucket")
    return GCSStore(bucket, config=config, client_options=_client(endpoint), retry_config=_retry())


def _azure(options: Mapping[str, Any]) -> ObjectStore:
    from obstore.store import AzureStore

    endpoint = _given(options, "azure", "endpoint", required=False)
    config: AzureConfig = {
        "account_name": _given(options, "azure", "account"),
        "account_key": _given(options, "azure", "key"),
    }
    if endpoint:
        config["endpoint"] = endpoint
    container = _given(options, "azure", "container")
    return AzureStore(container, config=config, client_options=_client(endpoint), retry_config=_retry())


_BACKENDS = {"s3": _s3, "gcs": _gcs, "azure": _azure}


def _given(options: Mapping[str, Any], kind: str, name: str, *, required: bool = True) -> str:
    value = options.get(name) or ""
    if required and not value:
        field = f"storage.{kind}.{name}"
        raise DbopsError(Reason.INVALID_SPEC, f"{field} is missing: nothing is taken from the machine", field=field)
    if name == "endpoint" and value and not value.startswith(("https://", "http://")):
        field = f"storage.{kind}.endpoint"
        raise DbopsError(Reason.INVALID_SPEC, f"{field} must begin with https:// or http://", field=field)
    return str(value).rstrip("/") if name == "endpoint" else str(value)


def _client(endpoint: str) -> ClientConfig:
    return {
        # Only for an endpoint that says so itself.
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=10),
        # A part of an upload, and the next bytes of a download, come within a minute or are asked for again.
        "read_timeout": timedelta(seconds=60),
        # Of a whole request, however long the object is: the deadline of the backup is the worker's.
        "timeout": timedelta(days=7),
        "user_agent": "dbops",
    }


def _retry() -> RetryConfig:
    # About half a minute of an unwilling store, for each request.
    backoff: BackoffConfig = {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=10)}
    return {"max_retries": 8, "retry_timeout": timedelta(seconds=120), "backoff": backoff}


@contextmanager
def _no_ambient_credentials() -> Iterator[None]:
    """Hide the environment's settings of clouds: obstore reads them for whatever is not given, even beside keys."""
    with _environment:
        hidden = {name: value for name, value in os.environ.items() if name.startswith(_AMBIENT)}
        for name in hidden:
            del os.environ[name]
        try:
            yield
        finally:
            os.environ.update(hidden)
