# SPDX-License-Identifier: GPL-3.0-or-later
"""`make collection-quality`: what Galaxy, Automation Hub and Ansible's own checks say of the collection.

Two checks at a time; a line for each, with its output where it fails.
ansible-test wants the tree under a real `ansible_collections` path, so tracked files are copied to a scratch one;
the importer works in an environment of its own, because it needs older versions of what we need.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ansible_test  # type: ignore[import-untyped]
from setup_venv import COLLECTIONS, ROOT, extra_environment

BIN = Path(sys.executable).parent
REPORT = ROOT / "build" / "junit" / "collection-quality.xml"
# shellcheck and pslint have nothing to check here: the collection has no script of theirs.
SANITY_SKIPPED = ("pslint", "shellcheck")
# ansible-test wants to download the bootstrap script of pip from a host outside; ensurepip and the index do as well.
GET_PIP = """\
import subprocess, sys
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pip=={version}"]
subprocess.run(command, check=True)
"""


class CheckError(Exception):
    """A check found something; the message is its output."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command of the environment; give its output. Raises CheckError when it fails."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS.parent),
        "ANSIBLE_NOCOLOR": "true",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CheckError(done.stdout)
    return done.stdout


def ansible_lint() -> None:
    """The production profile, offline."""
    run("ansible-lint", "--offline", "-q", "--nocolor")


def documentation() -> None:
    """The documentation of all plugins and roles, as docs.ansible.com would render it."""
    ours = COLLECTIONS / "dbprovision" / "dbops"
    run("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", ours)


def ansible_doc() -> None:
    """Every module and role can be shown."""
    for kind, names in (
        ("module", [path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")]),
        ("role", [path.name for path in (ROOT / "roles").iterdir()]),
    ):
        run("ansible-doc", "-t", kind, *(f"dbprovision.dbops.{name}" for name in names))


def changelog() -> None:
    """The fragments of the changelog."""
    run("antsibull-changelog", "lint")


def sanity() -> None:
    """ansible-test sanity with the Python of this environment."""
    with tempfile.TemporaryDirectory(prefix="dbops-sanity-") as folder:
        tree = Path(folder) / "ansible_collections" / "dbprovision" / "dbops"
        copy_tracked(tree)
        place_get_pip()
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        skipped = [part for name in SANITY_SKIPPED for part in ("--skip-test", name)]
        run("ansible-test", "sanity", "--python", version, "--color", "no", *skipped, cwd=tree)


def copy_tracked(tree: Path) -> None:
    """Copy the collection's tracked files to TREE and make it a repository, which ansible-test lists files by."""
    names = ("LICENSE", "README.md", "changelogs", "galaxy.yml", "meta", "playbooks", "plugins", "roles")
    listing = run("git", "ls-files", *names)
    for name in listing.splitlines():
        if (ROOT / name).exists():
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    run("git", "init", "--quiet", cwd=tree)
    run("git", "add", "--all", cwd=tree)


def place_get_pip() -> None:
    """Put our bootstrap script where ansible-test looks for pip's, for the version of pip that it wants."""
    source = Path(ansible_test.__file__).parent / "_internal" / "python_requirements.py"
    found = re.search(r"\bpip='([\d.]+)'", source.read_text(encoding="utf-8"))
    if not found:
        raise CheckError("ansible-test does not tell which version of pip it wants")
    target = Path.home() / ".ansible" / "test" / "cache" / f"get_pip_{found[1].replace('.', '_')}.py"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(GET_PIP.format(version=found[1]), encoding="utf-8")


def importer() -> None:
    """Galaxy's own import checks of the built tarball."""
    environment = extra_environment("galaxy")
    with tempfile.TemporaryDirectory(prefix="dbops-importer-") as folder:
        tree = Path(folder) / "dbops"
        copy_tracked(tree)
        run("ansible-galaxy", "collection", "build", "--output-path", folder, cwd=tree)
        tarball = next(Path(folder).glob("*.tar.gz"))
        output = run(environment / "bin" / "python", "-m", "galaxy_importer.main", tarball, cwd=Path(folder))
    if "ERROR" in output or "Importer processing completed successfully" not in output:
        raise CheckError(output)


CHECKS: tuple[Callable[[], None], ...] = (sanity, importer, ansible_lint, documentation, ansible_doc, changelog)
# Behaviours that a check proves part of, for the report.
PROVES = {sanity: "A01", importer: "A01", ansible_lint: "A01", documentation: "A01", ansible_doc: "A02"}


def checked(check: Callable[[], None]) -> ET.Element:
    """Run one CHECK and say how it went; give its case for the report."""
    begin = time.monotonic()
    case = ET.Element("testcase", classname="collection_quality", name=check.__name__)
    if check in PROVES:
        properties = ET.SubElement(case, "properties")
        ET.SubElement(properties, "property", name="feature", value=PROVES[check])
    try:
        check()
    except CheckError as error:
        ET.SubElement(case, "failure", message="failed").text = str(error)
        print(f"collection quality: {check.__name__}: FAILED\n{error}", flush=True)
    else:
        print(f"collection quality: {check.__name__}: ok ({time.monotonic() - begin:.0f} s)", flush=True)
    case.set("time", f"{time.monotonic() - begin:.1f}")
    return case


def main() -> int:
    """Run all checks; give 1 if one failed."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        cases = list(pool.map(checked, CHECKS))
    failures = sum(case.find("failure") is not None for case in cases)
    suite = ET.Element("testsuite", name="collection-quality", tests=str(len(cases)), failures=str(failures))
    suite.extend(cases)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suite).write(REPORT, encoding="utf-8", xml_declaration=True)
    print(f"{len(cases) - failures} passed, {failures} failed", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
