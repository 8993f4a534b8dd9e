# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering of Secret templates in a child process that may be killed: templates are programs of strangers.

`TemplateProcess.render` is what reconcile/database_user.py calls; the child, started when first needed and kept, runs
`main` below and calls templates.render. Its memory is limited by the kernel and its time by us. Variables, passwords
among them, go through pipes as length-prefixed JSON; nothing is written anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import struct
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator.templates import FIELD, TemplateRefused, render

SECONDS = 2.0
"""Time for all templates of one Secret."""
MEMORY = 512 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_MAX_ANSWER = 16 * 1024 * 1024


class TemplateProcess:
    """The child. One Secret is rendered at a time; it takes a millisecond."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        """Allow SECONDS per Secret."""
        self._seconds = seconds
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def render(self, sources: Mapping[str, str], variables: Mapping[str, Any]) -> dict[str, str]:
        """Render all SOURCES. Raises DbopsError with InvalidSpec, whose message holds no value of a variable."""
        if not sources:
            return {}
        async with self._turn:
            process = await self._running()
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await _ask(process, {"sources": dict(sources), "variables": dict(variables)})
            except TimeoutError:
                await self._kill()
                raise _invalid(f"the template takes longer than {self._seconds:g} seconds") from None
            except (asyncio.IncompleteReadError, OSError, ValueError):
                await self._kill()
                raise _invalid("the template needs too much memory") from None
            except BaseException:
                # Cancelled in the middle of an answer, which nobody would read any more.
                await self._kill()
                raise
        if "refused" in answer:
            raise _invalid(str(answer["refused"]))
        return {str(key): str(value) for key, value in answer["rendered"].items()}

    async def close(self) -> None:
        """End the child."""
        async with self._turn:
            await self._kill()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dbops_operator.template_process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            # Its imports are not the template's time.
            assert self._process.stdout
            await self._process.stdout.readexactly(1)
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _ask(process: asyncio.subprocess.Process, question: Mapping[str, Any]) -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    encoded = json.dumps(question).encode()
    process.stdin.write(_LENGTH.pack(len(encoded)) + encoded)
    await process.stdin.drain()
    (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
    if length > _MAX_ANSWER:
        raise ValueError("the answer is too long")
    answer: dict[str, Any] = json.loads(await process.stdout.readexactly(length))
    return answer


def _invalid(text: str) -> DbopsError:
    return DbopsError(Reason.INVALID_SPEC, f"the Secret's template: {text}", field=f"{FIELD}.data")


def main(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer questions until there are no more."""
    answers.write(b"!")
    answers.flush()
    while header := questions.read(_LENGTH.size):
        question = json.loads(questions.read(_LENGTH.unpack(header)[0]))
        try:
            answer: dict[str, Any] = {"rendered": render(question["sources"], question["variables"])}
        except TemplateRefused as error:
            answer = {"refused": str(error)}
        encoded = json.dumps(answer).encode()
        answers.write(_LENGTH.pack(len(encoded)) + encoded)
        answers.flush()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(sys.stdin.buffer, sys.stdout.buffer)
