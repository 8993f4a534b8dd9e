# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers of object stores on loopback, each with its own folder, port and credentials.

`storage` is how the collection's modules reach one; `objects` and `uploads` are the independent judge: they look into
the server's own files, with nothing that the product uses.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from localstack import binaries
from localstack.processes import Server, ServerError, free_port, wait_until

BUCKET = "backups"


def accepts(port: int) -> bool:
    """Whether something listens at PORT on loopback."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class ObjectStoreServer:
    """One server with one bucket; what the kinds of servers share."""

    name = "object store"

    def __init__(self, directory: Path | None = None) -> None:
        """Prepare a server whose data lies in DIRECTORY, or in memory; either is removed at the end."""
        self.port = free_port()
        self.directory = directory or Path(tempfile.mkdtemp(prefix="dbops-objects-", dir="/dev/shm"))
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log = self.directory / "server.log"
        self._process: Server | None = None

    def __enter__(self) -> Self:
        """Start the server and make the bucket."""
        try:
            self.start()
        except BaseException:
            self.stop()
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server and remove its data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def endpoint(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> Server:
        """The running server; raises ServerError when it was not started."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process

    def stop(self) -> None:
        """End the server; its data stays."""
        if self._process:
            self._process.stop(signal.SIGTERM)
            self._process = None

    def start(self) -> None:
        """Start the server with the data that is there."""
        raise NotImplementedError

    def _launch(self, command: list[str | Path], environment: Mapping[str, str] | None = None) -> None:
        self._process = Server(
            self.name, command, log=self.log, directory=self.directory, environment=environment, remove=self.directory
        )

        def answers() -> bool:
            self.process.require_running()
            return accepts(self.port)

        wait_until(answers, what=f"{self.name} answers", timeout=60)


class S3Server(ObjectStoreServer):
    """An S3 server over files, which checks signatures: versitygw."""

    name = "S3 server"

    def __init__(self, directory: Path | None = None, *, say: Callable[[str], None] = print) -> None:
        """Prepare a server; it is built first if it is missing in the cache, which SAY is told."""
        super().__init__(directory)
        self.access_key = f"AK{secrets.token_hex(8).upper()}"
        self.secret_key = secrets.token_urlsafe(30)
        self._binary = binaries.s3(say)
        self._data = self.directory / "objects"

    def start(self) -> None:
        """Start the server with the data that is there."""
        metadata = self.directory / "metadata"
        metadata.mkdir(exist_ok=True)
        self.make_bucket()
        command: list[str | Path] = [self._binary, "--port", f"127.0.0.1:{self.port}", "--quiet", "--keep-alive"]
        self._launch(
            [*command, "posix", "--sidecar", metadata, self._data],
            {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key},
        )

    def make_bucket(self, bucket: str = BUCKET) -> None:
        """Make a bucket unless it is there."""
        (self._data / bucket).mkdir(parents=True, exist_ok=True)

    def remove_bucket(self, bucket: str = BUCKET) -> None:
        """Take a bucket away with all that is in it."""
        shutil.rmtree(self._data / bucket)

    def storage(self, prefix: str = "", *, bucket: str = BUCKET, endpoint: str | None = None) -> dict[str, Any]:
        """Give the option `storage` of the collection's modules; ENDPOINT is another way to this server."""
        s3 = {
            "bucket": bucket,
            "region": "us-east-1",
            "endpoint": endpoint or self.endpoint,
            "force_path_style": True,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
        }
        return {"type": "s3", "prefix": prefix, "s3": s3}

    def file(self, key: str, *, bucket: str = BUCKET) -> Path:
        """Give the file that holds the object KEY."""
        return self._data / bucket / key

    def objects(self, bucket: str = BUCKET) -> list[str]:
        """Give the keys of all objects."""
        root = self._data / bucket
        found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        return sorted(key for key in found if not key.startswith(".sgwtmp/"))

    def uploads(self, bucket: str = BUCKET) -> list[str]:
        """Give what is there of multipart uploads that were neither completed nor aborted."""
        root = self._data / bucket / ".sgwtmp"
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
