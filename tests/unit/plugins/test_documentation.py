# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read about modules and roles is what the code takes: the tables of options are the judge."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import module_arguments
from ansible_collections.dbprovision.dbops.plugins.module_utils.core import argument_specs

ROOT = Path(__file__).resolve().parents[3]
MODULES: dict[str, argument_specs.Spec] = {
    "converge": argument_specs.spec_of_list(),
    "database": argument_specs.spec_of("database"),
    "database_access_info": argument_specs.spec_of("database_access"),
    "database_backup": module_arguments.backup_spec(),
    "database_backup_info": module_arguments.info_spec(),
    "database_export": argument_specs.spec_of_export(),
    "database_grant": argument_specs.spec_of("database_grant"),
    "database_instance_info": argument_specs.spec_of("database_instance"),
    "database_restore": module_arguments.restore_spec(),
    "database_role": argument_specs.spec_of("database_role"),
    "database_user": argument_specs.spec_of("database_user"),
}
ROLES = {
    "converge": "converge",
    "database": "database",
    "database_backup": "database_backup",
    "database_grant": "database_grant",
    "database_instance": "database_instance_info",
    "database_restore": "database_restore",
    "database_role": "database_role",
    "database_user": "database_user",
}
# What a role takes beside the options of its module.
HOOKS = {name: {"type": "list", "elements": "path", "default": []} for name in ("before", "after")}

Options = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def shown() -> dict[str, dict[str, Any]]:
    """What ansible-doc shows of each module, fragments included."""
    ansible_doc = Path(sys.executable).parent / "ansible-doc"
    command = [ansible_doc, "-t", "module", "--json", *(f"dbprovision.dbops.{name}" for name in MODULES)]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return {name.rpartition(".")[2]: one for name, one in json.loads(text).items()}


def facts(options: Options, *, below: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """Reduce OPTIONS to what can be compared, their own options (under the key BELOW) included."""
    return {
        name: {
            "type": one.get("type", "str"),
            "required": bool(one.get("required")),
            "default": one.get("default"),
            **{key: one.get(key) or None for key in keys},
            below: facts(one.get(below) or {}, below=below, keys=keys),
        }
        for name, one in options.items()
    }


def renamed(options: Any, *, old: str, new: str) -> Any:
    """Give OPTIONS with the key OLD of each option called NEW."""
    return {
        name: {**{key: value for key, value in one.items() if key != old}, new: renamed(one[old], old=old, new=new)}
        for name, one in options.items()
    }


@pytest.mark.feature("A02")
@pytest.mark.parametrize("name", MODULES)
def test_the_documentation_of_a_module_is_its_options(shown: Mapping[str, Any], name: str) -> None:
    keys = ("elements", "choices", "aliases")
    documented = facts(shown[name]["doc"]["options"], below="suboptions", keys=keys)
    spec = facts(MODULES[name], below="options", keys=keys)
    assert documented == renamed(spec, old="options", new="suboptions")


@pytest.mark.feature("A02")
@pytest.mark.parametrize("name", MODULES)
def test_a_module_documents_modes_examples_and_returned_values(shown: Mapping[str, Any], name: str) -> None:
    module = shown[name]
    for mode in ("check_mode", "diff_mode"):
        assert module["doc"]["attributes"][mode]["support"] == "full"
    if "login_host" in module["doc"]["options"]:
        assert module["doc"]["attributes"]["action_group"]["membership"] == ["dbprovision.dbops.all"]
    assert f"dbprovision.dbops.{name}:" in module["examples"]
    assert all(value["description"] and value["type"] for value in module["return"].values())


@pytest.mark.parametrize("name", MODULES)
def test_the_text_of_an_option_names_options_that_exist(shown: Mapping[str, Any], name: str) -> None:
    def described(options: Options) -> set[str]:
        return set(options) | {
            f"{name}{'[]' if one['type'] == 'list' else ''}.{part}"
            for name, one in options.items()
            for part in one.get("suboptions") or {}
        }

    options = shown[name]["doc"]["options"]
    text = json.dumps(shown[name]["doc"])
    mentioned = {part.partition(")")[0].partition("=")[0] for part in text.split("O(")[1:]}
    assert mentioned <= described(options)


@pytest.mark.feature("A03")
@pytest.mark.parametrize("role", ROLES)
def test_a_role_takes_what_its_module_takes(role: str) -> None:
    document = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    declared = {
        name.removeprefix(f"{role}_"): one for name, one in document["argument_specs"]["main"]["options"].items()
    }
    hooks = {} if role == "converge" else HOOKS
    keys = ("elements", "choices", "no_log")
    assert facts(declared, below="options", keys=keys) == facts(
        MODULES[ROLES[role]] | hooks, below="options", keys=keys
    )


@pytest.mark.feature("A03")
@pytest.mark.parametrize("role", ROLES)
def test_a_role_hands_each_variable_to_its_module(role: str) -> None:
    tasks = yaml.safe_load((ROOT / "roles" / role / "tasks" / "main.yml").read_text(encoding="utf-8"))
    given = next(
        task[f"dbprovision.dbops.{ROLES[role]}"] for task in tasks if f"dbprovision.dbops.{ROLES[role]}" in task
    )
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    assert set(defaults) == {f"{role}_{name}" for name in (["objects"] if role == "converge" else HOOKS)}
    expected = {name: f"{{{{ {role}_{name} | default(omit) }}}}" for name in MODULES[ROLES[role]]}
    # The connection may be written once for all roles.
    expected |= {
        name: f"{{{{ {role}_{name} | default(dbops_{name} | default(omit)) }}}}" for name in argument_specs.CONNECTION
    }
    required = {
        name: f"{{{{ {role}_{name} }}}}"
        for name, one in MODULES[ROLES[role]].items()
        if one.get("required") or name == "objects"
    }
    assert given == expected | required


def test_the_readme_of_a_role_names_all_its_variables() -> None:
    for role, module in ROLES.items():
        text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
        own = [name for name in MODULES[module] if name not in argument_specs.CONNECTION]
        missing = [name for name in own if f"`{role}_{name}`" not in text]
        assert missing == [], role
