# SPDX-License-Identifier: GPL-3.0-or-later
"""The walls between the rooms: who may import whom, read from the source files without running them."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "plugins"
ENGINE = PLUGINS / "module_utils"
OPERATOR = ROOT / "operator" / "dbops_operator"
COLLECTION = "ansible_collections.dbprovision.dbops.plugins"

# All that the operator may take from the collection: pure, no I/O, no driver.
SHARED_WITH_OPERATOR = (
    f"{COLLECTION}.module_utils.core.content_hash",
    f"{COLLECTION}.module_utils.core.passwords",
    f"{COLLECTION}.module_utils.core.reasons",
    f"{COLLECTION}.module_utils.core.results",
)
DRIVERS = ("psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "mysql", "mariadb", "sqlalchemy")
KUBERNETES = ("dbops_operator", "kubernetes", "kopf")
INPUT_OUTPUT = (
    "asyncio",
    "http",
    "requests",
    "select",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "urllib",
    "urllib3",
)

# Statements of SQL as they would stand in a string; the words alone may occur in a description.
SQL = re.compile(
    r"\b(?:SELECT\s[\s\S]{0,200}?\sFROM|INSERT\s+INTO|DELETE\s+FROM|"
    r"(?:CREATE|ALTER|DROP)\s+(?:DATABASE|EXTENSION|FUNCTION|ROLE|SCHEMA|TABLE|USER|VIEW)\s|"
    r"(?:GRANT|REVOKE)\s[\s\S]{0,100}?\s(?:ON|TO|FROM)|REASSIGN\s+OWNED|SHOW\s+GRANTS|"
    r"SET\s+(?:ROLE|SESSION|search_path))\b"
)


def python_files(folder: Path) -> list[Path]:
    """All Python files under FOLDER."""
    return sorted(folder.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Full names of everything that a file imports anywhere in it, also inside functions and conditions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{absolute(node, path)}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            first = node.args[0]
            assert isinstance(first, ast.Constant), f"{path}: import of a computed name"
            yield str(first.value)


def absolute(node: ast.ImportFrom, path: Path) -> str:
    """The module that an import takes from, with a relative one resolved."""
    if not node.level:
        return node.module or ""
    if path.is_relative_to(PLUGINS):
        package = [*COLLECTION.split("."), *path.relative_to(PLUGINS).parent.parts]
    else:
        package = list(path.relative_to(OPERATOR.parent).parent.parts)
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def within(name: str, modules: tuple[str, ...]) -> bool:
    """Whether NAME is one of MODULES or something in one of them."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def offences(files: list[Path], forbidden: tuple[str, ...]) -> list[str]:
    """Imports of forbidden modules, as `file: module`."""
    return [f"{path.relative_to(ROOT)}: {name}" for path in files for name in imports(path) if within(name, forbidden)]


def planning_files() -> list[Path]:
    """Files of the engine that decide: core/plan*.py, and of each database those of each kind and their helpers."""
    patterns = ("database*", "grant*", "instance", "role*", "user*")
    patterns += ("acting_as", "encodings", "memberships", "names", "settings", "versions")
    patterns += ("charsets", "declared", "dialects", "emulation", "hashes", "privileges", "state", "steps")
    found = {
        path
        for engine in ("postgresql", "mysql")
        for pattern in patterns
        for path in (ENGINE / engine).glob(f"{pattern}.py")
    }
    return sorted({*ENGINE.rglob("plan*.py"), *found})


def test_operator_knows_no_database_driver() -> None:
    assert python_files(OPERATOR)
    assert offences(python_files(OPERATOR), DRIVERS) == []


def test_operator_contains_no_sql() -> None:
    found = []
    for path in python_files(OPERATOR):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found += [f"{path.relative_to(ROOT)}:{node.lineno}" for _ in SQL.findall(node.value)]
    assert found == []


def test_operator_takes_only_pure_files_from_the_collection() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files(OPERATOR)
        for name in imports(path)
        if within(name, ("ansible_collections",)) and not within(name, SHARED_WITH_OPERATOR)
    ]
    assert found == []


def test_files_shared_with_the_operator_are_pure() -> None:
    files = [ENGINE / "core" / f"{name.rpartition('.')[2]}.py" for name in SHARED_WITH_OPERATOR]
    assert offences(files, (*DRIVERS, *INPUT_OUTPUT, "ansible")) == []


def test_planning_is_pure() -> None:
    files = planning_files()
    assert files
    assert offences(files, (*DRIVERS, *INPUT_OUTPUT, "ansible")) == []
    # A planner must not reach the server by way of its neighbours either.
    neighbours = tuple(
        f"{COLLECTION}.module_utils.{engine}.{name}"
        for engine in ("postgresql", "mysql")
        for name in (
            "apply",
            "catalog",
            "catalog_accounts",
            "catalog_databases",
            "catalog_grants",
            "connection",
            "dependencies",
            "ledger",
            "locks",
            "login",
            "observing",
            "server",
            "tls",
        )
    )
    assert offences(files, neighbours) == []


def test_collection_does_not_know_the_operator() -> None:
    assert python_files(PLUGINS)
    assert offences(python_files(PLUGINS), KUBERNETES) == []


def test_operator_folder_is_no_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists(), "it would shadow the standard library's operator"


@pytest.mark.parametrize("text", ["SELECT 1 FROM t", "GRANT app TO joe", "CREATE ROLE x", "SET ROLE x"])
def test_the_search_for_sql_finds_statements(text: str) -> None:
    assert SQL.search(text)


@pytest.mark.parametrize("text", ["grants of the user", "The database to create", "select a user from the list"])
def test_the_search_for_sql_lets_prose_pass(text: str) -> None:
    assert not SQL.search(text)


def test_the_search_for_imports_sees_hidden_ones(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        "if True:\n    import psycopg.sql as s\ndef f():\n    from pymysql import cursors\n__import__('ssl')\n",
        encoding="utf-8",
    )
    assert list(imports(source)) == ["psycopg.sql", "pymysql.cursors", "ssl"]


def test_relative_imports_are_resolved() -> None:
    node = ast.parse("from ..core import reasons").body[0]
    assert isinstance(node, ast.ImportFrom)
    assert absolute(node, ENGINE / "postgresql" / "database.py") == f"{COLLECTION}.module_utils.core"
    assert absolute(node, OPERATOR / "api" / "user.py") == "dbops_operator.core"


def tracked_files() -> list[Path]:
    """Files that git tracks; in an unpacked release all files."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


# Formats without comments, generated files that their generator rewrites, and the licence itself.
WITHOUT_SPDX = re.compile(
    r"(\.(json|png|svg|sum|tsv|tar\.gz|crt|key|pem)|/?LICENSE|changelogs/changelog\.yaml|CHANGELOG\.(rst|md)|\.gitkeep)$"
)


def test_every_source_file_names_its_licence() -> None:
    lacking = []
    for path in tracked_files():
        name = str(path.relative_to(ROOT))
        if not WITHOUT_SPDX.search(name):
            beginning = path.read_text(encoding="utf-8")[:600]
            if "SPDX-License-Identifier: GPL-3.0-or-later" not in beginning:
                lacking.append(name)
    assert lacking == []
