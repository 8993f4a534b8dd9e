# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry point of `dbops`: a group of commands, each in a file of its own that is only loaded when it is called."""

from __future__ import annotations

import click

from dbops_operator import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Databases and logins, declared in Kubernetes or Ansible."""


@main.group()
def operator() -> None:
    """The Kubernetes operator."""


def _add_commands() -> None:
    from dbops_operator.cli.operator import run

    operator.add_command(run)


_add_commands()
