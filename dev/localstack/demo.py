# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: the product's main job on real servers, first with ansible-playbook alone, then with kubectl.

Starts servers of its own, runs the commands that a user would type and shows them with their output, and
removes everything at the end, also after Ctrl-C. Ends with status 1 when something is not as it should be.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from localstack import binaries
from localstack.controlplane import ControlPlane
from localstack.examples import place_examples
from localstack.paths import ROOT
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded, embedded_with_tls

BIN = Path(sys.executable).parent
NAMESPACE = "shop"
LOGIN = "psql --no-psqlrc --tuples-only"
_started = time.monotonic()


class DemoError(Exception):
    """Something was not as it should be; the message says what."""


def title(text: str) -> None:
    """Begin a part."""
    print(f"\n=== {text} ({time.monotonic() - _started:.0f} s)", flush=True)


def say(text: str) -> None:
    """Tell what happens."""
    print(f"# {text}", flush=True)


class Shell:
    """Runs the commands of the demo in FOLDER as a user would, showing each with its output."""

    def __init__(self, folder: Path) -> None:
        """Take the working folder; `environment` may be added to."""
        self.folder = folder
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        }

    def run(self, *command: str, stdin: str | None = None, shown: str | None = None) -> str:
        """Run COMMAND and give its output; SHOWN stands for it on the screen. Raises DemoError when it fails."""
        print(f"$ {shown or shlex.join(command)}", flush=True)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(done.stdout.rstrip(), flush=True)
        if done.returncode:
            raise DemoError(f"status {done.returncode}: {shown or shlex.join(command)}")
        return done.stdout


def expect(condition: bool, what: str) -> None:
    """Raise DemoError unless CONDITION holds."""
    if not condition:
        raise DemoError(f"expected {what}")


def playbook_alone(shell: Shell) -> None:
    """Part 1: a DBA's view. One variables file, one playbook, run twice."""
    title("Part 1: ansible-playbook and a PostgreSQL server, no Kubernetes")
    with PostgreSQLServer(embedded()) as server:
        say(f"PostgreSQL {server.version} runs; connection.yml has its address and the admin's password")
        connection = shell.folder / "connection.yml"
        connection.touch(mode=0o600)
        variables = {"server_login_port": server.port, "server_login_password": server.admin.password}
        # JSON is YAML.
        connection.write_text(json.dumps(variables), encoding="utf-8")
        shutil.copy(ROOT / "examples" / "ansible" / "server.yml", shell.folder / "server.yml")
        shell.run("cat", "server.yml")
        command = ["ansible-playbook", "dbprovision.dbops.server", "-e", "@server.yml", "-e", "@connection.yml"]
        say("What would happen? Nothing is executed.")
        plan = shell.run(*command, "--check", "--diff")
        expect("changed=1" in plan and not _databases(server, "orders"), "a plan that executes nothing")
        say("Do it, and do it again.")
        expect("changed=1" in shell.run(*command), "changed=1 in the first run")
        expect("changed=0" in shell.run(*command), "changed=0 in the second run")
        expect(bool(_databases(server, "orders")), "the database")
        owner = server.query("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'orders'")
        say(f"The server itself says: database orders belongs to {owner[0][0]}")


def _databases(server: PostgreSQLServer, name: str) -> list[tuple[str]]:
    return server.query("SELECT datname FROM pg_database WHERE datname = %s", (name,))


@contextmanager
def operator(shell: Shell) -> Iterator[None]:
    """Run `dbops operator run` against the shell's cluster; end it at the end."""
    log = shell.folder / "operator.log"
    command = [str(BIN / "dbops"), "operator", "run", "--log-format", "text"]
    print("$ dbops operator run &", flush=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=shell.folder, env=shell.environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
        if process.poll() is not None:
            raise DemoError(f"the operator ended with status {process.returncode}\n{_end_of(log)}")
    except BaseException:
        print(_end_of(log), file=sys.stderr)
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def with_kubernetes(shell: Shell) -> None:
    """Part 2: an application team's view. kubectl, the operator, and a login with the Secret's content."""
    title("Part 2: the same through kubectl")
    if binaries.missing():
        say("The Kubernetes control plane is built once per machine; this takes about eight minutes")
    binaries.build(say)
    with ExitStack() as stack:
        cluster = stack.enter_context(ControlPlane())
        server = stack.enter_context(PostgreSQLServer(embedded_with_tls()))
        shell.environment["KUBECONFIG"] = str(cluster.kubeconfig)
        say(f"A Kubernetes API and PostgreSQL {server.version} run; examples/ with this server's address:")
        place_examples(shell.folder / "examples", host=server.host, port=server.port)
        shell.run("kubectl", "apply", "--server-side", "-f", str(ROOT / "operator" / "deploy" / "crds"),
                  shown="kubectl apply --server-side -f operator/deploy/crds")  # fmt: skip
        shell.run("kubectl", "create", "namespace", "db-provision-operator-system")
        stack.enter_context(operator(shell))
        shell.run("kubectl", "create", "namespace", NAMESPACE)
        _secret(shell, "postgres-admin", server.admin.user, server.admin.password)
        shell.run("kubectl", "apply", "-f", "examples/kubernetes")
        shell.run("kubectl", "wait", "--namespace", NAMESPACE, "--for=condition=Ready", "--timeout=60s",
                  "databaseinstances,databases,databaseusers,databaseroles,databasegrants", "--all")  # fmt: skip
        shell.run("kubectl", "get", "--namespace", NAMESPACE,
                  "databaseinstances,databases,databaseusers,databaseroles,databasegrants")  # fmt: skip
        _log_in(shell)
        _mistake(shell, server)
        say("Taking the declarations away takes away what they made.")
        shell.run("kubectl", "delete", "--timeout=60s", "-f", "examples/kubernetes")
        expect(not _databases(server, "orders"), "that the database is gone")


def _secret(shell: Shell, name: str, user: str, password: str) -> None:
    """Make a Secret as `kubectl create secret` does, with the password on standard input instead of in argv."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": {"username": user, "password": password},
    }
    shell.run("kubectl", "create", "-f", "-", stdin=json.dumps(body),
              shown=f"kubectl create -f -   # the Secret {name} with username and password")  # fmt: skip


def _log_in(shell: Shell) -> None:
    """Log in with exactly what the application's Secret holds."""
    say("The application's Secret, and a login with its content:")
    get = ["kubectl", "get", "secret", "orders-app-database", "--namespace", NAMESPACE, "-o"]
    done = subprocess.run(
        [*get, "jsonpath={.data.DATABASE_URL}"], env=shell.environment, capture_output=True, text=True, check=True
    )
    # The URL goes to psql through the environment of this one process and is not shown.
    before = dict(shell.environment)
    shell.environment["DATABASE_URL"] = base64.b64decode(done.stdout).decode()
    answer = shell.run("sh", "-c", f'{LOGIN} -c "SELECT current_user, current_database()" "$DATABASE_URL"',
                       shown=f'{LOGIN} -c "SELECT current_user, current_database()" "$DATABASE_URL"')  # fmt: skip
    shell.environment = before
    expect(answer.split() == ["orders_app", "|", "orders"], "a login as orders_app on orders")


def _mistake(shell: Shell, server: PostgreSQLServer) -> None:
    """Show what a wrong password looks like."""
    say("A mistake shows as a condition:")
    _secret(shell, "wrong-admin", server.admin.user, "not-the-password")
    shell.run("kubectl", "apply", "-f", "examples/troubleshooting/wrong-password.yaml")
    shell.run("kubectl", "wait", "--namespace", NAMESPACE, "--for=condition=Ready=False", "--timeout=60s",
              "databaseinstance/wrong-password")  # fmt: skip
    message = shell.run(
        "kubectl", "get", "databaseinstance", "wrong-password", "--namespace", NAMESPACE, "-o",
        "jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{'\\n'}{end}",
    )  # fmt: skip
    expect("AuthenticationFailed" in message, "the reason AuthenticationFailed")
    shell.run("kubectl", "delete", "-f", "examples/troubleshooting/wrong-password.yaml")


def _terminate(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run both parts; give the status to exit with."""
    signal.signal(signal.SIGTERM, _terminate)
    folder = Path(tempfile.mkdtemp(prefix="dbops-demo-"))
    try:
        shell = Shell(folder)
        playbook_alone(shell)
        with_kubernetes(shell)
    except DemoError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was ended; everything it started is removed.", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    title("Done")
    print(
        "One declaration through two doors: a playbook made a database with its owner and changed nothing the second\n"
        "time; custom resources made the same through the operator, and their Secret logged in. Everything that was\n"
        "started is gone. Next: README.md, examples/, docs/."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
