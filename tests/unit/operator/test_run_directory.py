# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of runs: private, short, without secrets, and removed, also those of an operator that crashed."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from dbops_operator.run.directory import RunsFolder

_CRASH = """
import os, sys
from pathlib import Path
from dbops_operator.run.directory import RunsFolder
RunsFolder(Path(sys.argv[1])).new_run()
os._exit(9)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_and_the_nonce_are_private(tmp_path: Path) -> None:
    folder = RunsFolder(tmp_path)
    run = folder.new_run()
    assert mode(folder.path) == 0o700
    assert mode(run.path) == 0o700
    assert mode(run.path / "nonce") == 0o600


def test_each_run_has_its_own_folder_and_nonce(tmp_path: Path) -> None:
    folder = RunsFolder(tmp_path)
    first, second = folder.new_run(), folder.new_run()
    assert first.path != second.path
    assert first.nonce != second.nonce
    assert len(first.nonce) == 32


def test_the_nonce_is_in_no_other_file(tmp_path: Path) -> None:
    run = RunsFolder(tmp_path).new_run()
    named = [path for path in run.path.rglob("*") if path.is_file() and run.nonce in path.read_text()]
    assert named == [run.path / "nonce"]


def test_the_socket_fits_into_an_address(tmp_path: Path) -> None:
    run = RunsFolder(tmp_path).new_run()
    in_a_pod = Path("/run/dbops") / run.socket.relative_to(tmp_path)
    assert len(str(in_a_pod).encode()) < 90


def test_nothing_is_left_after_the_end(tmp_path: Path) -> None:
    folder = RunsFolder(tmp_path)
    folder.new_run()
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_operator_left_is_removed_and_a_living_one_keeps_its_folder(tmp_path: Path) -> None:
    living = RunsFolder(tmp_path)
    crashed = subprocess.run([sys.executable, "-c", _CRASH, str(tmp_path)], check=False)
    assert crashed.returncode == 9
    assert len(list(tmp_path.iterdir())) == 2
    new = RunsFolder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([living.path, new.path])


def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    base = tmp_path / "base"
    base.mkdir()
    (base / "dbops-runs-x").symlink_to(elsewhere)
    RunsFolder(base)
    assert (elsewhere / "lock").exists()
