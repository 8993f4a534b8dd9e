# SPDX-License-Identifier: GPL-3.0-or-later
"""What breaks: each fault begins, lasts for a while, and is over when its function returns.

A table of them, by name; harness.life picks one after the other. A fault is over, not mended: that everything is well
again afterwards is the operator's work.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import objects
from operator_process import OperatorProcess

from harness.sides import Side
from harness.teams import NAMESPACE, Team, persist
from localstack.controlplane import ControlPlane
from localstack.processes import wait_until


@dataclass
class World:
    """All that can break, and the seeded choice of what does."""

    cluster: ControlPlane
    operator: OperatorProcess
    sides: list[Side]
    teams: list[Team]
    random: random.Random
    passwords: set[str] = field(default_factory=set)
    """Passwords that were given by hand."""
    ends: list[str] = field(default_factory=list)
    """How the operator ended by itself."""
    _clock: threading.Event = field(default_factory=threading.Event)

    def last(self, least: float, most: float) -> None:
        """Let it be so for a while."""
        self._clock.wait(self.random.uniform(least, most))

    def side(self) -> Side:
        """One of the servers."""
        return self.random.choice(self.sides)

    def team(self) -> tuple[Team, Side]:
        """One of the teams with its server."""
        team = self.random.choice(self.teams)
        return team, next(one for one in self.sides if one.name == team.instance)

    def revive(self) -> None:
        """Start the operator again if it has ended, as a Deployment does."""
        if not self.operator.running():
            self.ends.append(f"the operator ended with {self.operator.status()}\n{self.operator.end_of_log(5)}")
            self.operator.start(wait=False)


def _operator_killed(world: World) -> None:
    world.operator.kill()
    # Also while it starts.
    world.operator.start(wait=world.random.random() < 0.7)


def _operator_terminated(world: World) -> None:
    world.operator.wait_ready()
    status = world.operator.stop()
    assert status == 0, f"the operator ended with {status}\n{world.operator.end_of_log()}"
    world.operator.start(wait=False)


def _operator_paused(world: World) -> None:
    assert world.operator.process
    world.operator.process.send_signal(signal.SIGSTOP)
    world.last(1, 20)
    world.operator.process.send_signal(signal.SIGCONT)


def _run_killed(world: World) -> None:
    processes = world.operator.run_processes()
    for pid in world.random.sample(processes, k=min(2, len(processes))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _run_hangs(world: World) -> None:
    processes = world.operator.run_processes()
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        world.last(0.5, 3)


def _server_killed(world: World) -> None:
    server = world.side().server
    server.kill()
    world.last(0, 3)
    server.start()


def _server_restarted(world: World) -> None:
    server = world.side().server
    server.stop()
    world.last(0, 2)
    server.start()


def _server_hangs(world: World) -> None:
    server = world.side().server
    server.pause()
    world.last(0.5, 12)
    server.resume()


def _server_read_only(world: World) -> None:
    side = world.side()
    side.read_only(on=True)
    world.last(0.5, 4)
    side.read_only(on=False)


def _server_full(world: World) -> None:
    with world.side().exhausted():
        world.last(0.5, 4)


def _api_killed(world: World) -> None:
    world.cluster.kill_apiserver()
    world.last(0, 3)
    world.cluster.start_apiserver()


def _api_hangs(world: World) -> None:
    world.cluster.pause_apiserver()
    world.last(0.5, 6)
    world.cluster.resume_apiserver()


def _admin_password_changed(world: World) -> None:
    side = world.side()
    admin = side.server.admin
    for password in (f"changed-underneath-{world.random.randrange(10**9)}", admin.password):
        world.passwords.add(password)
        side.set_password(password)
        world.last(0, 3)
        data = {"data": {"password": base64.b64encode(password.encode()).decode()}}
        persist(lambda data=data: objects.patch(world.cluster, "secret", NAMESPACE, f"{side.name}-admin", data))


def _edited_on_the_server(world: World) -> None:
    team, side = world.team()
    if declared := team.declared:
        side.edit(declared)


def _secret_deleted(world: World) -> None:
    team, _ = world.team()
    delete = ("delete", "secret", team.secret, "--namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    persist(lambda: world.cluster.kubectl(*delete))


def _secret_edited(world: World) -> None:
    team, _ = world.team()
    password = f"Edited-by-hand-{world.random.randrange(10**9)}"
    world.passwords.add(password)
    data = {"data": {"password": base64.b64encode(password.encode()).decode()}}
    # It may be gone by then; then there is nothing to edit.
    edit = ("patch", "secret", team.secret, "--namespace", NAMESPACE, "--type=merge", "--patch", json.dumps(data))
    world.cluster.kubectl(*edit, check=False)


FAULTS: Mapping[str, Callable[[World], None]] = {
    "operator killed": _operator_killed,
    "operator terminated": _operator_terminated,
    "operator paused": _operator_paused,
    "run killed": _run_killed,
    "run hangs": _run_hangs,
    "server killed": _server_killed,
    "server restarted": _server_restarted,
    "server hangs": _server_hangs,
    "server read-only": _server_read_only,
    "server out of connections": _server_full,
    "API server killed": _api_killed,
    "API server hangs": _api_hangs,
    "admin's password changed": _admin_password_changed,
    "edited on the server": _edited_on_the_server,
    "Secret deleted": _secret_deleted,
    "Secret edited": _secret_edited,
}


def until_well(world: World, look: Callable[[], bool], *, what: str, timeout: float) -> None:
    """Wait for LOOK while the operator is started again whenever it ends, as a Deployment does."""

    def well() -> bool:
        world.revive()
        return look()

    wait_until(well, what=what, timeout=timeout, interval=0.5)
