# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a dump's bytes against the same by shell: `zstd | age`, into an S3 server here and into a file there."""

from __future__ import annotations

import json
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest
from benchmarks.measures import Figures

from localstack.debian import DebianPackages
from localstack.object_store import S3Server
from localstack.paths import ROOT

MIB = 1 << 20
SIZE = 256
RATIO = 0.9
"""Of the shell's throughput that ours must have (issue: at least)."""
MOST_MEMORY = 300
TRIES = 3
AGE = DebianPackages("trixie", ("age",), ("usr/bin/age",))


def lines(size: int) -> Iterator[bytes]:
    """Give SIZE bytes as pg_dump writes rows: numbers, words, a hash and a time in each."""
    source = random.Random(11)
    words = [bytes(source.choices(b"abcdefghijklmnopqrstuvwxyz", k=source.randint(3, 10))) for _ in range(5000)]
    block = b"".join(
        b"%d\t%s\t%s\t2026-01-%02d 12:%02d:%02d+00\t%.2f\n"
        % (
            number,
            b" ".join(source.choices(words, k=9)),
            source.randbytes(16).hex().encode(),
            *(source.randint(1, 28), source.randint(0, 59), source.randint(0, 59), source.random() * 1000),
        )
        for number in range(200_000)
    )
    left = size
    while left:
        yield block[:left]
        left -= min(left, len(block))


@pytest.fixture(scope="module")
def dump() -> Iterator[Path]:
    """A dump of SIZE MiB in memory, so that no disk is measured."""
    file = Path("/dev/shm/dbops-benchmark-dump")
    try:
        with file.open("wb") as output:
            output.writelines(lines(SIZE * MIB))
        yield file
    finally:
        file.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """An S3 server with its data in memory."""
    with S3Server() as running:
        yield running


def ours(order: dict[str, Any]) -> dict[str, Any]:
    """Have the pipeline do something in a process of its own."""
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "stream_process.py")]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def shell(text: str) -> float:
    """Run a shell's pipeline; give its seconds."""
    begin = time.perf_counter()
    subprocess.run(["bash", "-o", "pipefail", "-c", text], check=True)
    return time.perf_counter() - begin


def compare(figures: Figures, what: str, theirs: Callable[[], float], mine: Callable[[], float]) -> None:
    """Measure both in turn and compare the best of each."""
    pairs = [(theirs(), mine()) for _ in range(TRIES)]
    by_shell, by_us = (min(times) for times in zip(*pairs, strict=True))
    ratio = by_shell / by_us
    figures.note(
        f"{what}, {SIZE} MiB, zstd and age, throughput against the shell",
        f"{SIZE / by_us:.0f} MiB/s against {SIZE / by_shell:.0f} MiB/s, ratio {ratio:.2f} | at least {RATIO}",
    )
    assert ratio >= RATIO


@pytest.mark.timeout(1800)
def test_throughput(figures: Figures, dump: Path, server: S3Server, tmp_path: Path) -> None:
    age = AGE.unpack(print) / "bin" / "age"
    identity = pyrage.x25519.Identity.generate()
    key = tmp_path / "key"
    key.write_text(f"{identity}\n", encoding="ascii")
    stored = Path("/dev/shm/dbops-benchmark-stored")
    recipient = str(identity.to_public())
    order = {"storage": server.storage("bench"), "recipient": recipient, "identity": str(identity)}
    source, target = shlex.quote(str(dump)), shlex.quote(str(stored))
    facts: list[dict[str, Any]] = []

    def write() -> float:
        result = ours({**order, "command": ["cat", str(dump)]})
        facts.append(result["facts"])
        return float(result["seconds"])

    try:
        compare(
            figures, "Dump to S3", lambda: shell(f"cat {source} | zstd -q -3 | {age} -r {recipient} > {target}"), write
        )
        compare(
            figures,
            "Dump from S3",
            lambda: shell(f"{age} -d -i {shlex.quote(str(key))} {target} | zstd -q -d | cat > /dev/null"),
            lambda: float(ours({**order, "facts": facts[-1]})["seconds"]),
        )
    finally:
        stored.unlink(missing_ok=True)


@pytest.mark.timeout(1800)
def test_memory_is_flat(figures: Figures, dump: Path, server: S3Server) -> None:
    identity = pyrage.x25519.Identity.generate()
    order = {"storage": server.storage("flat"), "recipient": str(identity.to_public()), "identity": str(identity)}
    memory = {}
    for size, command in (
        (100, ["head", "-c", str(100 * MIB), str(dump)]),
        (2048, ["cat", *[str(dump)] * (2048 // SIZE)]),
    ):
        written = ours({**order, "command": command})
        assert written["facts"]["plain_bytes"] == size * MIB
        read = ours({**order, "facts": written["facts"]})
        memory[size] = (written["memory"], read["memory"])
    text = "; ".join(f"{size} MiB: {up:.0f} MiB out, {down:.0f} MiB in" for size, (up, down) in memory.items())
    figures.note("Memory of a dump's pipeline, at most", f"{text} | under {MOST_MEMORY} MiB, flat")
    assert max(max(pair) for pair in memory.values()) < MOST_MEMORY
    for small, large in zip(*memory.values(), strict=True):
        assert large < small * 1.3 + 20
