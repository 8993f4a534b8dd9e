# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that exist in memory only, for client tools that read passwords and TLS material from files.

Called by the engines for PGPASSFILE, a service file, a defaults file, certificates and keys. Each is a memfd of mode
0600: it has no name in any folder, a tool opens it as /proc/self/fd/N because it inherits the descriptor
(`Command.descriptors`), and it is gone with the last process that holds it, however that ends. memfd_create(2)
"""

from __future__ import annotations

import os
from typing import Self


class ClientFiles:
    """The files of one tool's run."""

    def __init__(self) -> None:
        """Start without a file."""
        self._descriptors: list[int] = []

    def __enter__(self) -> Self:
        """Take files."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the memory back."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a tool must inherit."""
        return tuple(self._descriptors)

    def add(self, name: str, content: str) -> str:
        """Keep CONTENT in memory; give the path under which the tool finds it. NAME is for people who look."""
        descriptor = self.new(name)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content.encode())
        return f"/proc/self/fd/{descriptor}"

    def new(self, name: str) -> int:
        """Make an empty file; give its descriptor, which stays open as long as the others."""
        descriptor = os.memfd_create(name)
        self._descriptors.append(descriptor)
        os.fchmod(descriptor, 0o600)
        return descriptor

    def path_of(self, name: str, value: str) -> str:
        """Give the path of VALUE, which is a path itself, or PEM text that is kept in memory then."""
        return self.add(name, value) if "-----BEGIN" in value else value
