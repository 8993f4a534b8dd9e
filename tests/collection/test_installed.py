# SPDX-License-Identifier: GPL-3.0-or-later
"""What users install: the tarball for ansible-galaxy and the wheel for pip, each built, installed and used.

Nothing of the checkout is in reach of these runs: Python starts without the environment's .pth file, and Ansible
looks for collections in the new path alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_runs import Ansible
from collection.cores import NAME, PACKAGES, ROOT, Core, newest

from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

EXAMPLE = ROOT / "examples" / "ansible" / "server.yml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    newest().call("-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
    return next(folder.glob("*.whl"))


def variables(server: PostgreSQLServer) -> dict[str, Any]:
    return {f"server_{name}": value for name, value in server.admin.options().items()}


def test_these_runs_do_not_know_the_checkout() -> None:
    script = "import importlib.util as u; print(u.find_spec('ansible_collections'), u.find_spec('dbops_operator'))"
    assert newest().call("-c", script) == "None None\n"


def test_the_tarball_has_what_git_has_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {member.name for member in archive.getmembers() if member.isfile()}
    listing = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                             capture_output=True, check=True, text=True).stdout  # fmt: skip
    assert names - {"MANIFEST.json", "FILES.json"} <= set(listing.splitlines())
    for folder in ("plugins", "roles", "playbooks", "meta"):
        ours = {name for name in listing.splitlines() if name.startswith(f"{folder}/") and (ROOT / name).exists()}
        assert ours <= names
    top = {name.partition("/")[0] for name in names}
    assert not top & {"operator", "tests", "dev", "molecule", "requirements", "pyproject.toml", "Makefile"}
    assert not [name for name in top if name.startswith(".")]


def test_the_tarball_asks_for_its_dependencies(tarball: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"community\.(mysql|postgresql)"):
        newest().call("-m", "ansible", "galaxy", "collection", "install", "--offline", "-p", tmp_path, tarball,
                      ANSIBLE_COLLECTIONS_PATH=str(tmp_path))  # fmt: skip


@pytest.mark.feature("A01")
def test_a_server_is_declared_with_the_installed_tarball(
    core: Core, installed: Path, tmp_path: Path, own_server: PostgreSQLServer
) -> None:
    ansible = core.ansible(tmp_path / "ansible", installed)
    checked_twice(ansible, own_server, installed / NAME)
    task = {"dbprovision.dbops.database_instance_info": {}, "environment": {"PGTZ": "UTC"}}
    handed_over = ansible.tasks(task, arguments=["-vvv"], connection=own_server.admin.options())
    assert f"Using module file {installed / NAME}/plugins/modules/database_instance_info.py" in handed_over.output


def test_a_server_is_declared_with_the_wheel(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.unpack_archive(wheel, site, "zip")
    with PostgreSQLServer(embedded_with_tls()) as server:
        checked_twice(Ansible(tmp_path / "ansible", packages=[site, PACKAGES]), server, site / NAME)


def checked_twice(ansible: Ansible, server: PostgreSQLServer, collection: Path) -> None:
    """Declare the example's server twice with the COLLECTION and see that it was this one and did its work."""
    first = ansible.play("dbprovision.dbops.server", "-vvv", "-e", f"@{EXAMPLE}", variables=variables(server))
    assert first.status == 0, first.output
    assert first.changed == 1
    files = re.findall(r"^\S.*?(/\S+/dbprovision/dbops)/", first.output, re.MULTILINE)
    assert set(files) == {str(collection)}, first.output
    second = ansible.play("dbprovision.dbops.server", "-e", f"@{EXAMPLE}", variables=variables(server))
    assert second.status == 0, second.output
    assert second.changed == 0
    declared = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    roles = {name for (name,) in server.query("SELECT rolname FROM pg_roles")}
    assert {one["name"] for one in declared["server_users"]} <= roles
    schemas = {name for (name,) in server.query("SELECT nspname FROM pg_namespace", dbname="orders")}
    assert "sales" in schemas


def test_the_wheel_has_the_collection_beside_the_operator(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    tracked = subprocess.run(["git", "ls-files", "plugins", "roles", "playbooks", "meta", "galaxy.yml"], cwd=ROOT,
                             capture_output=True, check=True, text=True).stdout.splitlines()  # fmt: skip
    assert {str(NAME / name) for name in tracked if (ROOT / name).exists()} <= names
    assert "dbops_operator/cli/main.py" in names
    assert f"Version: {yaml.safe_load((ROOT / 'galaxy.yml').read_text(encoding='utf-8'))['version']}" in metadata
