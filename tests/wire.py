# SPDX-License-Identifier: GPL-3.0-or-later
"""A way to the API server that tests can make carry nothing, or cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import yaml

from localstack.processes import free_port


class Wire:
    """Carries what comes to its PORT on loopback to the server of a URL, and back."""

    def __init__(self, url: str) -> None:
        """Lead to the server of URL."""
        place = urlsplit(url)
        self.port = free_port()
        self.open = asyncio.Event()
        """While it is not set nothing is carried, as by a firewall that forgot a connection."""
        self.open.set()
        self._target = (str(place.hostname), int(place.port or 443))
        self._whole = True
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all connections."""
        self._server.close()
        await self.cut()

    def kubeconfig(self, file: Path, directory: Path) -> Path:
        """Write what FILE says, but with this wire as the server's address, into DIRECTORY."""
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for one in content["clusters"]:
            one["cluster"]["server"] = f"https://127.0.0.1:{self.port}"
        through = directory / "kubeconfig"
        through.write_text(yaml.safe_dump(content), encoding="utf-8")
        return through

    async def cut(self) -> None:
        """Break all connections, with what is on its way in them, and let in none until it is mended."""
        self._whole = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def mend(self) -> None:
        """Let connections in again."""
        self._whole = True

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.close()
            return
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        for source, target in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.create_task(self._carry(source, target)))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while content := await source.read(65536):
                    await self.open.wait()
                    target.write(content)
                    await target.drain()
        finally:
            target.close()
