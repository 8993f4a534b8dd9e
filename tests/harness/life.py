# SPDX-License-Identifier: GPL-3.0-or-later
"""One life: objects come, change and go on several servers while faults happen, then all is compared.

`live` is what a test calls. The seed decides on the objects' stream and on the faults; what the machine makes of
their timing it does not.
"""

from __future__ import annotations

import collections
import random
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import objects
from leaks import disguises
from operator_process import NAMESPACE as OPERATOR_NAMESPACE
from operator_process import OperatorProcess

from harness.faults import FAULTS, World, until_well
from harness.sides import Side
from harness.teams import KINDS, NAMESPACE, Stream, Team, persist
from localstack.controlplane import ControlPlane
from localstack.processes import wait_until

RECOVERY = 240.0
"""Within so many seconds after the last fault everything is as declared.

A run that hangs is ended after 30 s, one that is slow with an object after 180 s at most; only what failed more than
seven times in a row comes again later than this.
"""


@dataclass
class Report:
    """What a life was made of."""

    seed: int
    seconds: float
    objects: dict[str, int]
    faults: collections.Counter[str] = field(default_factory=collections.Counter)

    def __str__(self) -> str:
        """For people."""
        return f"seed {self.seed}, {self.seconds:.0f} s: {self.objects}, faults: {dict(self.faults)}"


def live(
    cluster: ControlPlane,
    operator: OperatorProcess,
    sides: list[Side],
    *,
    seed: int,
    seconds: float,
    teams: int,
    faults: Collection[str] = tuple(FAULTS),
) -> Report:
    """Run a life of SECONDS with so many TEAMS on each side; raises AssertionError for what is wrong in the end."""
    everyone = [Team(n, side.name, side.family, retained=n % 4 == 3) for side in sides for n in range(teams)]
    world = World(cluster, operator, sides, everyone, random.Random(seed + 1))
    by_name = {side.name: side for side in sides}
    stream = Stream(cluster, everyone, lambda team: by_name[team.instance].names(team), seed)
    cluster.kubectl("create", "namespace", NAMESPACE)
    objects.apply(cluster, *(body for side in sides for body in side.instance()))
    objects.wait_ready(cluster, "databaseinstance", NAMESPACE, *by_name)
    report = Report(seed, seconds, stream.counts)
    end = time.monotonic() + seconds
    broken: list[BaseException] = []

    def go_on() -> None:
        try:
            for team in everyone:
                stream.apply(team)
            while time.monotonic() < end:
                stream.one()
        except BaseException as error:  # noqa: BLE001 - shown by the main thread
            broken.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        while time.monotonic() < end and not broken:
            world.revive()
            name = world.random.choice(list(faults))
            report.faults[name] += 1
            print(f"{end - time.monotonic():.1f} s before the end: {name}", flush=True)
            FAULTS[name](world)
            world.last(0.1, 4)
    finally:
        thread.join(timeout=RECOVERY)
    if broken:
        raise broken[0]
    assert not thread.is_alive(), "the stream of changes hangs"
    require_well(world, stream)
    return report


def require_well(world: World, stream: Stream) -> None:
    """Everything is as declared, by itself, and nothing else is left."""

    def gone() -> bool:
        return all(stream.is_gone(team) for team in world.teams)

    def settled() -> bool:
        found = [
            one for kind in KINDS for one in persist(lambda kind=kind: objects.all_of(world.cluster, kind, NAMESPACE))
        ]
        return all(objects.ready(one) == "True" for one in found)

    try:
        until_well(world, gone, what="what was deleted is gone", timeout=RECOVERY)
        until_well(world, settled, what="every object is Ready", timeout=RECOVERY)
        until_well(world, lambda: not _differences(world), what="the servers are as declared", timeout=60)
    except TimeoutError as error:
        for note in (*_unwell(world), *_differences(world), *world.ends, world.operator.end_of_log()):
            error.add_note(note)
        raise
    _require_servers(world, stream)
    _require_secrets(world)
    world.operator.wait_ready()
    assert world.operator.stop() == 0, world.operator.end_of_log()
    _require_nothing_left(world)
    _require_no_leak(world)


def _differences(world: World) -> list[str]:
    sides = {side.name: side for side in world.sides}
    declared = [(team.declared, sides[team.instance]) for team in world.teams if team.declared]
    return [f"declared {one}, found {there}" for one, side in declared if (there := side.found(one)) != one]


def _unwell(world: World) -> list[str]:
    return [
        f"{kind} {one['metadata']['name']} (deleted: {one['metadata'].get('deletionTimestamp')}): "
        f"{(one.get('status') or {}).get('message')} {objects.condition(one)}"
        for kind in ("databaseinstance", *KINDS)
        for one in objects.all_of(world.cluster, kind, NAMESPACE)
        if objects.ready(one) != "True" or one["metadata"].get("deletionTimestamp")
    ]


def _require_servers(world: World, stream: Stream) -> None:
    there = {name for side in world.sides for name in side.all_names()}
    declared = {name for team in world.teams if team.declared for name in team.declared.names}
    assert declared <= there
    assert there - declared <= stream.may_stay, "orphaned"
    assert stream.must_stay <= there, "dropped in spite of its policy"
    for side in world.sides:
        assert side.open_intents() == []


def _require_secrets(world: World) -> None:
    sides = {side.name: side for side in world.sides}
    expected = {f"{side.name}-admin" for side in world.sides} | {
        f"{side.name}-tls" for side in world.sides if side.family == "mysql"
    }
    for team in world.teams:
        if team.declared:
            content = objects.secret_content(world.cluster, NAMESPACE, team.secret)
            world.passwords.add(content["password"])
            assert sides[team.instance].log_in(content) == team.declared.login
            expected.add(team.secret)
    # Garbage collection takes them; the cluster's controller looks for new kinds of owners every half minute.
    wait_until(
        lambda: {one["metadata"]["name"] for one in objects.all_of(world.cluster, "secret", NAMESPACE)} == expected,
        what="only Secrets of what is declared are left",
        timeout=90,
    )
    states = [
        one["metadata"].get("annotations") or {} for one in objects.all_of(world.cluster, "secret", OPERATOR_NAMESPACE)
    ]
    mine = [one for one in states if f"{NAMESPACE}/" in str(one)]
    assert len(mine) == sum(1 for team in world.teams if team.declared)


def _require_nothing_left(world: World) -> None:
    wait_until(lambda: not world.operator.run_processes(), what="no process of a run is left")
    assert world.operator.run_folders() == []
    for side in world.sides:
        wait_until(lambda side=side: side.sessions() == [], what=f"no session is left on {side.name}")


def _require_no_leak(world: World) -> None:
    places = {
        "the operator's log": world.operator.log.read_bytes(),
        **{f"the log of {side.name}": side.server.log.read_bytes() for side in world.sides},
        **{f"{path.name} of the cluster": path.read_bytes() for path in world.cluster.directory.glob("*.log")},
    }
    leaked = {
        place
        for place, content in places.items()
        for password in world.passwords
        if any(text in content for text in disguises(password))
    }
    assert leaked == set()
