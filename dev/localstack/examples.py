# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples with the address of a server that runs here, for the demo and the tests that execute them."""

from __future__ import annotations

from pathlib import Path

from localstack.paths import ROOT

EXAMPLES = ROOT / "examples"
_HOST = "host: postgres.example.com"
_PORT = "port: 5432"


def place_examples(target: Path, *, host: str, port: int) -> None:
    """Copy examples/ to TARGET with HOST and PORT in place of the made-up address; nothing else differs."""
    for source in sorted(EXAMPLES.rglob("*")):
        if source.is_file():
            text = source.read_text(encoding="utf-8").replace(_HOST, f"host: {host}").replace(_PORT, f"port: {port}")
            copy = target / source.relative_to(EXAMPLES)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text, encoding="utf-8")
