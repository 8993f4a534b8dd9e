# SPDX-License-Identifier: GPL-3.0-or-later
"""`make crds`, second half: what else is written for each kind of the API from its CRD.

The roles for people (operator/deploy/people.yaml) and a page per kind (docs/kinds/). A test fails when the
committed files differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dbops_operator.api import crd
from dbops_operator.api.kind import GROUP

ROOT = Path(__file__).resolve().parents[1]
PEOPLE = ROOT / "operator" / "deploy" / "people.yaml"
PAGES = ROOT / "docs" / "kinds"
EXAMPLES = ROOT / "examples" / "kubernetes"
PREFIX = "db-provision-operator"

Body = Mapping[str, Any]
_LEVELS = {
    "viewer": ("view", ["get", "list", "watch"]),
    "editor": ("edit", ["create", "delete", "get", "list", "patch", "update", "watch"]),
    "admin": ("admin", ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]),
}
"""Role of a kind: the role that it is aggregated into, and its verbs."""


def definitions() -> list[dict[str, Any]]:
    """The CRDs, as they are committed, in the order of their names."""
    return [yaml.safe_load(text) for _, text in sorted(crd.files().items())]


def people() -> str:
    """The roles for people: per kind one to look, one to edit, one for everything.

    A kind of the cluster's scope is edited by whoever is given its role, never by the editors of a namespace, so
    only its viewer role is aggregated.
    """
    roles = [_role(one, level) for one in definitions() for level in _LEVELS]
    head = "# SPDX-License-Identifier: GPL-3.0-or-later\n# Made by `make crds`; do not edit.\n"
    return head + "---\n".join(yaml.safe_dump(role, sort_keys=False) for role in roles)


def _role(definition: Body, level: str) -> dict[str, Any]:
    names, scope = definition["spec"]["names"], definition["spec"]["scope"]
    into, verbs = _LEVELS[level]
    aggregated = scope == "Namespaced" or level == "viewer"
    labels = {f"rbac.authorization.k8s.io/aggregate-to-{into}": "true"} if aggregated else {}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": f"{PREFIX}-{names['singular']}-{level}-role",
            "labels": {"app.kubernetes.io/component": "roles-for-people", **labels},
        },
        "rules": [
            {"apiGroups": [GROUP], "resources": [names["plural"]], "verbs": verbs},
            {"apiGroups": [GROUP], "resources": [f"{names['plural']}/status"], "verbs": ["get"]},
        ],
    }


def page(definition: Body) -> str:
    """The page of a kind: what it is, a worked example where there is one, and all fields."""
    names, spec = definition["spec"]["names"], definition["spec"]
    version = spec["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    columns = ", ".join(f"`{one['name']}`" for one in version["additionalPrinterColumns"])
    where = "in a namespace" if spec["scope"] == "Namespaced" else "of the whole cluster"
    lines = [
        "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->",
        "<!-- Made by `make crds` from operator/dbops_operator/api; do not edit. -->",
        f"# {names['kind']}",
        "",
        schema.get("description", ""),
        "",
        f"`kubectl get {names['plural']}` (or `{names['shortNames'][0]}`), {where}. Columns: {columns}.",
        "",
    ]
    for path in _examples(names["kind"]):
        text = path.read_text(encoding="utf-8").partition("\n#\n")[2]
        lines += [f"## Example: {path.relative_to(ROOT)}", "", "```yaml", text.strip(), "```", ""]
    for part in ("spec", "status"):
        lines += [f"## {part}", "", "| field | type | default | |", "| --- | --- | --- | --- |"]
        lines += [*_fields(schema["properties"][part], ""), ""]
    return "\n".join(lines)


def _examples(kind: str) -> list[Path]:
    found = []
    for path in sorted(EXAMPLES.glob("*.yaml")):
        bodies = yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if any(body and body["kind"] == kind for body in bodies):
            found.append(path)
    return found


def _fields(schema: Body, prefix: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        inner = field.get("items", field)
        words = field.get("enum") or inner.get("enum")
        kind = f"list of {inner['type']}" if field["type"] == "array" else field["type"]
        if words:
            kind += ": " + ", ".join(f"`{word}`" for word in words)
        default = f"`{json.dumps(field['default'])}`" if "default" in field else "required" if name in required else ""
        about = field.get("description", "").replace("|", "\\|")
        yield f"| `{path}` | {kind} | {default} | {about} |"
        yield from _fields(inner, f"{path}[]." if field["type"] == "array" else f"{path}.")


def files() -> dict[Path, str]:
    """All files and what is in them."""
    pages = {PAGES / f"{one['spec']['names']['singular']}.md": page(one) for one in definitions()}
    return {PEOPLE: people(), **pages}


def main() -> int:
    """Write them."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
