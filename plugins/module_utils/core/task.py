# SPDX-License-Identifier: GPL-3.0-or-later
"""An Ansible task's options become a request to the engine, and the engine's document the task's result.

Shared by the modules and by the action plugins of the same names, so that both give the same; neither does
anything else. What goes out holds no secret: nothing in it is made from a secret option.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import argument_specs, export, manifests
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

RETURNED_AS = {
    "database": "database",
    "database_user": "user",
    "database_role": "role",
    "database_grant": "grant",
    "database_instance": "instance",
    "database_access": "table",
}
"""Under which key a module returns what it observed of its object."""

_MARKS = {"alter": "~", "drop": "-", "revoke": "-"}


def single(kind: str, parameters: Mapping[str, Any], *, check: bool, diff: bool) -> dict[str, Any]:
    """Converge one object of a KIND and give the task's result, `failed` included."""
    declared = {name: parameters.get(name) for name in argument_specs.KINDS[kind]}
    entry = {"kind": kind, **{name: value for name, value in declared.items() if value is not None}}
    document = converge(_request(parameters, [entry], check=check))
    found = document["objects"][0]
    result: dict[str, Any] = {
        "changed": found["changed"],
        "queries": [step["statement"] for step in found["steps"]],
        RETURNED_AS[kind]: found["observed"],
        "warnings": found["warnings"],
    }
    if found["credentials"]:
        result["credentials"] = found["credentials"]
    if diff:
        result["diff"] = _diff(document["objects"])
    if found["failed"]:
        result |= {"failed": True, "reason": found["reason"], "field": found["field"]}
        result["msg"] = _sentence(found)
    return result


def many(parameters: Mapping[str, Any], *, check: bool, diff: bool) -> dict[str, Any]:
    """Converge the list `objects` on one server and give the task's result, `failed` included."""
    document = converge(_request(parameters, parameters["objects"], check=check))
    objects = document["objects"]
    result = {
        **document,
        "queries": [step["statement"] for one in objects for step in one["steps"]],
        "warnings": [f"{one['ref']}: {text}" for one in objects for text in one["warnings"]],
        "failed": document["failed"] and parameters["fail_on_object"],
    }
    if diff:
        result["diff"] = _diff(objects)
    if document["failed"]:
        failed = [f"{one['ref']}: {_sentence(one)}" for one in objects if one["failed"]]
        result["msg"] = f"{len(failed)} of {len(objects)} objects failed. " + " ".join(failed[:20])
    return result


def exported(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Write down a server and give the task's result, `failed` included."""
    try:
        manifests_wanted = parameters["format"] == "manifests"
        if manifests_wanted and not parameters["instance"]:
            text = "instance is missing: the DatabaseInstance that the manifests refer to"
            raise DbopsError(Reason.INVALID_SPEC, text, field="instance")
        found = export.export({name: parameters[name] for name in ("databases", "accounts")} | _server(parameters))
    except DbopsError as error:
        return failure(error) | {"warnings": []}
    result = {"changed": False, **found}
    if not manifests_wanted:
        return result | {"variables": export.variables(found["objects"])}
    written = manifests.manifests(
        found["objects"],
        engine=found["server"]["engine"],
        instance=parameters["instance"],
        namespace=parameters["namespace"],
    )
    return result | {"manifests": written.resources, "warnings": found["warnings"] + written.warnings}


def failure(error: DbopsError) -> dict[str, Any]:
    """Give the result of a task that failed before there was an object to speak of."""
    message = f"{error.message} [{error.reason.value}]"
    return {"failed": True, "changed": False, "msg": message, "reason": error.reason.value, "field": error.field}


def _request(parameters: Mapping[str, Any], objects: Sequence[Mapping[str, Any]], *, check: bool) -> dict[str, Any]:
    server = {name: parameters.get(name) for name in argument_specs.SERVER | argument_specs.EPOCH}
    return {"objects": list(objects), "check": check, **server, **_server(parameters)}


def _server(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"connection": {name: parameters[name] for name in argument_specs.CONNECTION}}


def _sentence(found: Mapping[str, Any]) -> str:
    """What failed, as people read it: the message, with the reason that scripts look for."""
    return f"{found['message']} [{found['reason']}]"


def _diff(objects: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The plan as Ansible prints it with --diff: object by object, each step with its statement."""
    return {"prepared": "\n".join(line for one in objects for line in _lines(one))}


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    if found["steps"]:
        yield found["ref"]
    for step in found["steps"]:
        mark = "!" if step["destructive"] else _MARKS.get(step["action"], "+")
        place = f" in database {step['database']}" if step["database"] else ""
        yield f"  {mark} {step['action']} {step['target']}{place}"
        for line in _values(step["before"], step["after"]):
            yield f"      {line}"
        yield f"      {step['statement']}"


def _values(before: Any, after: Any) -> Iterator[str]:
    """Tell what a step changes from what to what; what it only adds or takes away is in its statement."""
    if before is None or after is None:
        return
    if isinstance(after, Mapping):
        for name, value in after.items():
            yield f"{name}: {before[name]} -> {value}"
    else:
        yield f"{_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
