# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the local stack's Debian packages come from, and what is said where they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from localstack.debian import DEFAULT_MIRROR, DebianPackages, mirror
from localstack.processes import ServerError


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("sources.list", "deb http://one.example/debian bookworm main\n", "http://one.example/debian"),
        ("sources.list", "# deb http://old.example/debian sid main\n", DEFAULT_MIRROR),
        (
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: https://two.example/pub/debian/\nSuites: trixie\n",
            "https://two.example/pub/debian",
        ),
        (
            "sources.list.d/debian.list",
            """
deb http://security.example/debian-security trixie-security main
deb [arch=amd64 signed-by=/a.gpg] http://three.example/debian trixie main
""",
            "http://three.example/debian",
        ),
        ("sources.list.d/ubuntu.sources", "URIs: http://archive.example/ubuntu/\n", DEFAULT_MIRROR),
    ],
    ids=["one line", "commented out", "deb822", "others before it", "none of Debian"],
)
def test_the_mirror_is_the_machines_own(tmp_path: Path, name: str, text: str, expected: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    assert mirror(tmp_path) == expected


def test_a_machine_without_apt_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match="no apt-get here"):
        DebianPackages("sid", ("hello",), ("usr/bin/hello",)).unpack(lambda _: None)
