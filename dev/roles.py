# SPDX-License-Identifier: GPL-3.0-or-later
"""`make roles`: write what the roles repeat of their modules, from the modules' documentation.

A role of the collection hands its variables to one module, so its argument specs, its task and the table in its
README say what the module's documentation says. The rest of a role (its example, its hooks) is written by hand;
tests/unit/plugins holds both together.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import module_arguments
from ansible_collections.dbprovision.dbops.plugins.module_utils.core import argument_specs

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    "converge": "converge",
    "database": "database",
    "database_backup": "database_backup",
    "database_grant": "database_grant",
    "database_instance": "database_instance_info",
    "database_restore": "database_restore",
    "database_role": "database_role",
    "database_user": "database_user",
}
"""The module of each role."""
_LICENCE = "---\n# SPDX-License-Identifier: GPL-3.0-or-later\n"
_MARKUP = re.compile(r"\b(?:O|V|C|RV|M)\(((?:[^()\\]|\\.)*)\)")

Options = Mapping[str, Mapping[str, Any]]
_SPECS = {
    "converge": argument_specs.spec_of_list,
    "database_backup": module_arguments.backup_spec,
    "database_restore": module_arguments.restore_spec,
}
SPECS = {
    name: _SPECS[name]() if name in _SPECS else argument_specs.spec_of(name.removesuffix("_info"))
    for name in MODULES.values()
}


class _Dumper(yaml.SafeDumper):
    """Writes lists indented, as ansible-lint wants them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Never without."""
        super().increase_indent(flow, False)


def documentation() -> dict[str, dict[str, Any]]:
    """What ansible-doc says of each module, by its name."""
    command = [str(Path(sys.executable).parent / "ansible-doc"), "-t", "module", "--json"]
    names = [f"dbprovision.dbops.{name}" for name in MODULES.values()]
    done = subprocess.run([*command, *names], capture_output=True, check=True, text=True)
    return {name.rpartition(".")[2]: one["doc"] for name, one in json.loads(done.stdout).items()}


def plain(description: str | list[str]) -> str:
    """The text without Ansible's markup."""
    text = description if isinstance(description, str) else " ".join(description)
    return _MARKUP.sub(lambda found: found.group(1).replace("\\", ""), text)


def spec(option: Mapping[str, Any], order: Mapping[str, Any]) -> dict[str, Any]:
    """An option as meta/argument_specs.yml has it, its own options in the ORDER of the module's spec."""
    found: dict[str, Any] = {"description": plain(option["description"]), "type": option["type"]}
    found |= {key: option[key] for key in ("elements", "choices", "required") if option.get(key)}
    if option.get("default") is not None:
        found["default"] = option["default"]
    if order.get("no_log"):
        found["no_log"] = True
    if option.get("suboptions"):
        found["options"] = {name: spec(option["suboptions"][name], one) for name, one in order["options"].items()}
    return found


def ordered(module: str) -> Iterator[str]:
    """Names of a module's own options first, then those of the connection."""
    yield from own_options(module)
    yield from argument_specs.CONNECTION


def own_options(module: str) -> list[str]:
    """Names of the options that are not of the connection."""
    return [name for name in SPECS[module] if name not in argument_specs.CONNECTION]


def specs(role: str, doc: Mapping[str, Any]) -> str:
    """meta/argument_specs.yml."""
    module = MODULES[role]
    own = {f"{role}_{name}": spec(doc["options"][name], SPECS[module][name]) for name in ordered(module)}
    if role != "converge":
        for when, more in (("before", ""), ("after", f"; the result is in the variable {role}_result")):
            text = f"Files of tasks to run {when}, on the controller{more}."
            own[f"{role}_{when}"] = {"description": text, "type": "list", "elements": "path", "default": []}
    main = {
        "short_description": doc["short_description"],
        "description": [plain(text) for text in doc["description"]],
        "options": own,
    }
    return _LICENCE + yaml.dump({"argument_specs": {"main": main}}, Dumper=_Dumper, sort_keys=False, width=110)


def task(role: str, options: Options, text: str) -> str:
    """tasks/main.yml, with the options of its one module written anew."""
    lines = []
    for name in ordered(MODULES[role]):
        variable = f"{role}_{name}"
        if name in argument_specs.CONNECTION:
            variable += f" | default(dbops_{name} | default(omit))"
        elif not options[name].get("required") and name != "objects":
            variable += " | default(omit)"
        lines.append(f'    {name}: "{{{{ {variable} }}}}"\n')
    head = f"  dbprovision.dbops.{MODULES[role]}:\n"
    before, _ignored, rest = text.partition(head)
    after = re.sub(r"\A(?: {4}.*\n)+", "", rest)
    return before + head + "".join(lines) + after


def table(role: str, options: Options, text: str) -> str:
    """README.md, with the rows of the module's own options written anew."""
    rows = [
        f"| `{role}_{name}` | {options[name]['type']} | {plain(options[name]['description'])} |\n"
        for name in own_options(MODULES[role])
    ]
    head = "| --- | --- | --- |\n"
    before, _ignored, rest = text.partition(head)
    after = re.sub(rf"\A(?:\| `{role}_(?!login_host|before)\w+` \|.*\n)*", "", rest)
    return before + head + "".join(rows) + after


def main() -> None:
    """Write the files of all roles."""
    found = documentation()
    for role, module in MODULES.items():
        folder, doc = ROOT / "roles" / role, found[module]
        (folder / "meta/argument_specs.yml").write_text(specs(role, doc), encoding="utf-8")
        for file, write in ((folder / "tasks/main.yml", task), (folder / "README.md", table)):
            file.write_text(write(role, doc["options"], file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
