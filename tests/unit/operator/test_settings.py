# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings and the options of the command that become them."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from dbops_operator import application
from dbops_operator.cli.main import main
from dbops_operator.settings import INSTANCE_LABEL, CrossNamespace, DropBrake, Settings, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8h", 28800), ("1h30m", 5400), ("90s", 90), ("0", 0), ("1.5m", 90), ("250ms", 0.25), (" 2d ", 172800)],
)
def test_a_duration_is_read_as_go_writes_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "8x", "8h5", "-1s", "1h 5m", "8 h"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_the_brake_is_read() -> None:
    assert DropBrake.parse("5/1m") == DropBrake(5, 60)
    assert DropBrake.parse("0") == DropBrake(0)


@pytest.mark.parametrize("text", ["5", "x/1m", "5/", "-1/1m", "5/0", "5/10"])
def test_anything_else_is_no_brake(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (what it says is for the reader)
        DropBrake.parse(text)


@pytest.mark.parametrize(
    ("instance", "labels", "claimed"),
    [
        ("default", None, True),
        ("default", {}, True),
        ("default", {INSTANCE_LABEL: "default"}, True),
        ("default", {INSTANCE_LABEL: "blue"}, False),
        ("blue", {INSTANCE_LABEL: "blue"}, True),
        ("blue", {}, False),
        ("blue", {INSTANCE_LABEL: "default"}, False),
    ],
)
def test_an_operator_claims_what_carries_its_id(instance: str, labels: dict[str, str] | None, *, claimed: bool) -> None:
    assert Settings(cluster_id="c", instance_id=instance).claims(labels) is claimed


def test_an_operator_for_some_namespaces_leaves_the_others_alone() -> None:
    assert Settings(cluster_id="c").looks_after("any")
    some = Settings(cluster_id="c", namespaces=("a", "b"))
    assert some.looks_after("b")
    assert not some.looks_after("c")
    assert not some.looks_after("")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the application is started with."""
    got: dict[str, Any] = {}

    async def run(settings: Settings, *, probes: str, measures: str) -> None:
        got.update(settings=settings, probes=probes, measures=measures)

    monkeypatch.setattr(application, "run", run)
    return got


def test_options_become_settings(started: dict[str, Any]) -> None:
    line = (
        "operator run --namespace a --namespace b --instance-id blue --cross-namespace open --drop-brake 3/1m "
        "--default-drift-interval 10m --deny-loopback --standby-runs 0 --metrics-bind-address :9000"
    )
    done = CliRunner().invoke(main, line.split(), env={"POD_NAMESPACE": "ops"})
    assert done.exit_code == 0, done.output
    settings = started["settings"]
    assert settings.namespaces == ("a", "b")
    assert settings.instance_id == "blue"
    assert settings.cross_namespace is CrossNamespace.OPEN
    assert settings.drop_brake == DropBrake(3, 60)
    assert settings.default_drift_interval == 600
    assert settings.allow_loopback is False
    assert settings.standby_runs == 0
    assert settings.operator_namespace == "ops"
    assert started["measures"] == ":9000"
    assert started["probes"] == ":8081"


@pytest.mark.parametrize(
    "option",
    [
        "--default-drift-interval=soon",
        "--drop-brake=many",
        "--metrics-bind-address=here",
        "--health-probe-bind-address=:x",
        "--cross-namespace=maybe",
        "--run-directory=/nowhere",
        "--standby-runs=-1",
        "--max-concurrent-runs=0",
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(option: str, started: dict[str, Any]) -> None:
    done = CliRunner().invoke(main, ["operator", "run", option])
    assert done.exit_code != 0
    assert option.partition("=")[0] in done.output
    assert started == {}
