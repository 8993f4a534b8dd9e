# SPDX-License-Identifier: GPL-3.0-or-later
"""`dbops operator run`: options become Settings, and the application runs until it is told to end."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dbops_operator import health, kubeconfig, logs
from dbops_operator.leader import LeaseLost
from dbops_operator.settings import (
    DEFAULT_INSTANCE,
    DEFAULT_NAMESPACE,
    CrossNamespace,
    DropBrake,
    Settings,
    cores,
    parse_duration,
)

logger = logging.getLogger(__name__)
LEASE_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")


def _checked(read: Callable[[str], Any], *, keep: bool = False) -> Callable[[click.Context, click.Parameter, str], Any]:
    """Make a callback that turns ValueError into a usage error; KEEP gives the text itself on."""

    def callback(_context: click.Context, _parameter: click.Parameter, text: str) -> Any:
        try:
            value = read(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
        return text if keep else value

    return callback


@click.command()
@click.option("--namespace", "namespaces", multiple=True, help="Look after this namespace only; may be repeated.")
@click.option("--instance-id", default=DEFAULT_INSTANCE, show_default=True, help="Which labelled objects are ours.")
@click.option(
    "--leader-elect", is_flag=False, flag_value="true", type=click.BOOL, default=False, show_default=True,
    help="Work only as the one that holds the Lease; several may run.",
)  # fmt: skip
@click.option(
    "--cross-namespace",
    type=click.Choice([str(one) for one in CrossNamespace]),
    default=str(CrossNamespace.CONSENT),
    show_default=True,
    help="Whether references across namespaces need the owner's consent.",
)
@click.option("--cluster-id", default="", help="The cluster's name in ledgers; default: uid of namespace kube-system.")
@click.option(
    "--operator-namespace",
    default=lambda: os.environ.get("POD_NAMESPACE", DEFAULT_NAMESPACE),
    help=f"Where the operator keeps its own Secrets; default: $POD_NAMESPACE or {DEFAULT_NAMESPACE}.",
)
@click.option(
    "--standby-runs", type=click.IntRange(min=0), default=2 * cores(), show_default=True,
    help="Runs of ansible-runner kept ready.",
)  # fmt: skip
@click.option(
    "--max-concurrent-runs", type=click.IntRange(min=1), default=cores(), show_default=True,
    help="Runs at work at a time.",
)  # fmt: skip
@click.option(
    "--max-concurrent-backups", type=click.IntRange(min=1), default=2, show_default=True,
    help="Backups at work at a time, and as many restores.",
)  # fmt: skip
@click.option(
    "--max-concurrent-backups-per-server", type=click.IntRange(min=1), default=1, show_default=True,
    help="Backups of one server at work at a time.",
)  # fmt: skip
@click.option(
    "--run-directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=Path("/dev/shm"),  # noqa: S108 (in memory; the folder made in it is private)
    show_default=True,
    help="Folder for runs, on a volume in memory.",
)
@click.option(
    "--drop-brake",
    default="20/10m",
    show_default=True,
    callback=_checked(DropBrake.parse),
    help="More drops of databases than this on one server stop and ask; 0: never.",
)
@click.option(
    "--default-drift-interval", default="8h", show_default=True, callback=_checked(parse_duration),
    help="How often what is healthy is looked at again.",
)  # fmt: skip
@click.option(
    "--allow-loopback/--deny-loopback", default=None, help="Instances on loopback; default: not in a cluster."
)
@click.option(
    "--grace-period", default="25s", show_default=True, callback=_checked(parse_duration), help="Time to end."
)
@click.option(
    "--metrics-bind-address", default="0", show_default=True, callback=_checked(health.address, keep=True),
    help="Where /metrics is served; 0: nowhere.",
)  # fmt: skip
@click.option(
    "--metrics-secure", is_flag=False, flag_value="true", type=click.BOOL, default=True, show_default=True,
    help="Serve /metrics over HTTPS, to accounts that the API server lets get it.",
)  # fmt: skip
@click.option(
    "--metrics-cert-path", "metrics_certificates",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the certificate for /metrics; default: one is made.",
)  # fmt: skip
@click.option("--metrics-cert-name", "metrics_certificate", default="tls.crt", show_default=True, help="Its file.")
@click.option("--metrics-cert-key", "metrics_key", default="tls.key", show_default=True, help="The file of its key.")
@click.option(
    "--health-probe-bind-address", default=":8081", show_default=True, callback=_checked(health.address, keep=True),
    help="Where /healthz and /readyz are served; 0: nowhere.",
)  # fmt: skip
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True)
def run(
    metrics_bind_address: str,
    health_probe_bind_address: str,
    log_level: str,
    log_format: str,
    allow_loopback: bool | None,
    cross_namespace: str,
    **options: Any,
) -> None:
    """Run the operator, against KUBECONFIG or in a cluster by its ServiceAccount."""
    from dbops_operator import application

    logs.set_up(level=log_level, form=log_format)
    settings = Settings(
        allow_loopback=not kubeconfig.in_cluster() if allow_loopback is None else allow_loopback,
        cross_namespace=CrossNamespace(cross_namespace),
        **options,
    )
    if settings.leader_elect and not LEASE_NAME.fullmatch(settings.lease):
        raise click.UsageError("with --leader-elect an instance id is of lower case letters, digits and hyphens")
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None
    if importlib.util.find_spec("uvloop"):
        import uvloop

        loop = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(application.run(settings, probes=health_probe_bind_address, measures=metrics_bind_address))
    except LeaseLost as error:
        logger.error("the operator ends and must be started again: %s", error.__cause__)
        sys.exit(1)
    except Exception:
        logger.exception("the operator ends and must be started again")
        sys.exit(1)
