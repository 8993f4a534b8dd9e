# SPDX-License-Identifier: GPL-3.0-or-later
"""Azurite, Azure's own emulator of Blob Storage: installed once per machine from npm, and started on loopback.

Needs node and npm, and 360 MB in the cache; no package's script runs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localstack.locks import locked
from localstack.object_store import BUCKET, ObjectStoreServer
from localstack.paths import AZURITE_PACKAGE, azurite_directory, cache_directory
from localstack.processes import ServerError

_API_VERSION = "2021-08-06"


def install(say: Callable[[str], None]) -> Path:
    """Path of Azurite's program, which is installed if it is missing; what happens is told through SAY."""
    target = azurite_directory()
    with locked(cache_directory() / "azurite.lock", waiting=lambda: say("waiting for another installation of azurite")):
        if not target.exists():
            say("azurite: installing from npm (360 MB, once per machine)")
            with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
                installed = shutil.copytree(AZURITE_PACKAGE, Path(temporary, "azurite"))
                command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
                subprocess.run(command, cwd=installed, check=True)
                installed.replace(target)
    return target / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


class AzureServer(ObjectStoreServer):
    """A server of Azure Blob Storage with one account and one container; it checks signatures."""

    name = "Azure Blob server"
    account = "devstore"

    def __init__(self, directory: Path | None = None, *, say: Callable[[str], None] = print) -> None:
        """Prepare a server; Azurite is installed first if it is missing in the cache, which SAY is told."""
        super().__init__(directory)
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self._program = install(say)

    @property
    def endpoint(self) -> str:
        """The URL of the account."""
        return f"{super().endpoint}/{self.account}"

    def start(self) -> None:
        """Start the server with the data that is there, and make the container if it is not there."""
        node = shutil.which("node")
        if not node:
            raise ServerError("Azurite needs node")
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", str(self.directory)]
        # The version of the API that a newer client asks for is not its business.
        quiet = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        self._launch([node, self._program, *place, *quiet], {"AZURITE_ACCOUNTS": f"{self.account}:{self.key}"})
        self.make_container()

    def make_container(self, container: str = BUCKET) -> None:
        """Make a container by the documented request (Put Container, Authorize with Shared Key)."""
        date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers = {"x-ms-date": date, "x-ms-version": _API_VERSION}
        lines = [f"{name}:{value}" for name, value in headers.items()]
        resource = f"/{self.account}/{self.account}/{container}\nrestype:container"
        text = "\n".join(["PUT", *[""] * 11, *lines, resource])
        digest = hmac.new(base64.b64decode(self.key), text.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {self.account}:{base64.b64encode(digest).decode()}"
        url = f"{self.endpoint}/{container}?restype=container"
        with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=30):
            pass

    def storage(self, prefix: str = "", *, container: str = BUCKET) -> dict[str, Any]:
        """Give the option `storage` of the collection's modules."""
        azure = {"container": container, "account": self.account, "key": self.key, "endpoint": self.endpoint}
        return {"type": "azure", "prefix": prefix, "azure": azure}
