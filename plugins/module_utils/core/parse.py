# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user wrote becomes typed values: options of the connection, and the entries of a `converge` list.

Called by core.converge first of all. What is wrong is found here, before anything is sent, as DbopsError with
InvalidSpec that names the option and never shows the value of a secret one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import (
    argument_specs,
    circles,
    grants,
    init_sql,
    order,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    DatabaseDefaultPrivilege,
    DefaultPrivilege,
    Desired,
    DesiredAccess,
    DesiredDatabase,
    DesiredGrant,
    DesiredInstance,
    DesiredRole,
    DesiredUser,
    Extension,
    InitSQL,
    Ownership,
    Schema,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason


@dataclass(frozen=True)
class Invalid:
    """An entry that cannot be understood, under the REF that it goes by all the same."""

    ref: str
    error: DbopsError


def connection(options: Mapping[str, Any]) -> dict[str, Any]:
    """Check connection OPTIONS and fill in defaults. Raises DbopsError."""
    return _validate(argument_specs.CONNECTION, options)


def entries(objects: Sequence[Any], engine: str) -> list[Desired | Invalid]:
    """Read the OBJECTS of a list for a server of ENGINE, in their order.

    A name that one owner claims twice is wrong the second time; the ledger arbitrates between two owners.
    """
    parsed: list[Desired | Invalid] = []
    refs: set[str] = set()
    names: set[tuple[order.Thing, Owner | None]] = set()
    for number, entry in enumerate(objects):
        one = _entry(entry, number, engine)
        if one.ref in refs:
            error = DbopsError(Reason.INVALID_SPEC, f"ref {one.ref!r} stands for two objects of the list", field="ref")
            one = Invalid(f"{one.ref}#{number}", error)
        elif isinstance(one, Desired) and (order.thing(one), one.owner_record) in names:
            text = f"{' '.join(order.thing(one))!r} is declared twice in the list"
            one = Invalid(one.ref, DbopsError(Reason.INVALID_SPEC, text, field="name"))
        refs.add(one.ref)
        if isinstance(one, Desired) and not isinstance(one, DesiredInstance):
            names.add((order.thing(one), one.owner_record))
        parsed.append(one)
    wrong = circles.errors(one for one in parsed if isinstance(one, Desired))
    return [Invalid(one.ref, wrong[one.ref]) if one.ref in wrong else one for one in parsed]


def _entry(entry: Any, number: int, engine: str) -> Desired | Invalid:
    if not isinstance(entry, Mapping):
        return Invalid(f"objects/{number}", DbopsError(Reason.INVALID_SPEC, "an object is not a mapping"))
    options = {str(key): value for key, value in entry.items()}
    kind = str(options.pop("kind", ""))
    name = next((options[word] for word in ("name", "db", "user", "role") if options.get(word)), number)
    ref = str(options.pop("ref", None) or f"{kind or 'objects'}/{name}")
    try:
        if kind not in _BUILDERS:
            text = f"unknown kind {kind!r}; there are {', '.join(_BUILDERS)}" if kind else "the kind is missing"
            raise DbopsError(Reason.INVALID_SPEC, text, field="kind")
        values = _validate(argument_specs.KINDS[kind], options)
        _require_given(argument_specs.KINDS[kind], values)
        _require_text(values)
        _require_engine(kind, values, engine)
        own_name = str(values["name"] or name)
        common: dict[str, Any] = {"kind": kind, "ref": ref, "name": _name(kind, values)}
        if "state" in values:
            owner = Owner.from_options(values["dbops_owner"], kind=kind, name=own_name)
            common |= {"present": values["state"] == "present", "owner_record": owner}
            common |= {name: values[name] for name in ("adopt", "force", "allow_destructive")}
        return _with_what_is_sent(_BUILDERS[kind](common, values), engine)
    except DbopsError as error:
        return Invalid(ref, error)


# Options that become fields as they are.
_DATABASE_FIELDS = (
    *("owner", "encoding", "collation", "lc_collate", "lc_ctype", "template", "tablespace", "connection_limit"),
    *("is_template", "allow_connections", "end_sessions"),
)
_USER_FIELDS = (
    *("password", "update_password", "verify_login", "login", "superuser", "create_db", "create_role", "inherit"),
    *("replication", "bypass_rls", "connection_limit", "valid_until", "default_role", "reassign_owned_to"),
    *("plugin", "require_ssl", "require_x509", "max_queries_per_hour", "max_updates_per_hour"),
    *("max_connections_per_hour", "max_user_connections", "account_locked", "failed_login_attempts"),
    *("password_lock_time", "password_lifetime", "retain_current_password", "discard_old_password", "end_sessions"),
)
_ROLE_FIELDS = (
    *("login", "superuser", "create_db", "create_role", "inherit", "replication", "bypass_rls", "native"),
    "reassign_owned_to",
)


def _instance(common: dict[str, Any], values: dict[str, Any]) -> Desired:
    return DesiredInstance(**common, discover=values["discover"])


def _access(common: dict[str, Any], values: dict[str, Any]) -> Desired:
    names = {name: values[name] for name in ("database", "schema", "table")}
    return DesiredAccess(**common, **names, privileges=grants.words(values["privileges"], field="privileges"))


def _database(common: dict[str, Any], values: dict[str, Any]) -> Desired:
    privileges = values["default_privileges"]
    script = _init_sql(values["init_sql"]) if values["init_sql"] else None
    if script and common["present"] and not common["owner_record"]:
        text = "init_sql needs dbops_owner: what was run is remembered in the ledger of who declares the database"
        raise DbopsError(Reason.INVALID_SPEC, text, field="init_sql")
    return DesiredDatabase(
        **common,
        **{name: values[name] for name in _DATABASE_FIELDS},
        extensions=tuple(
            Extension(one["name"], one["schema"], one["version"], one["state"] == "present", one["cascade"])
            for one in values["extensions"] or ()
        ),
        schemas=tuple(
            Schema(one["name"], one["owner"], one["state"] == "present", one["cascade"])
            for one in values["schemas"] or ()
        ),
        default_privileges=None
        if privileges is None
        else tuple(
            DefaultPrivilege(
                one["role"], one["schema"], one["object_type"], tuple(one["privileges"]), one["granted_by"]
            )
            for one in privileges
        ),
        ownership=_ownership(common["name"], values["ownership"]) if values["ownership"] else None,
        init_sql=script,
    )


def _ownership(database: str, values: Mapping[str, Any]) -> Ownership:
    def name(suffix: str) -> str:
        # Within the 63 bytes of a name.
        room = 63 - len(f"db__{suffix}")
        return f"db_{database.encode()[:room].decode(errors='ignore')}_{suffix}"

    role, user = values["role"] or name("owner"), values["user"] or name("app")
    return Ownership(role, user, values["default_privileges"], values["drop"])


def _init_sql(values: Mapping[str, Any]) -> InitSQL:
    if (values["statements"] is None) == (values["script"] is None):
        raise DbopsError(Reason.INVALID_SPEC, "init_sql takes either statements or a script", field="init_sql")
    return InitSQL(tuple(values["statements"] or ()), values["script"], values["on_failure"] == "block")


def _with_what_is_sent(one: Desired, engine: str) -> Desired:
    """Take a database's script apart. Raises DbopsError with InvalidSpec for one that does not end."""
    if not isinstance(one, DesiredDatabase) or not one.present or not one.init_sql:
        return one
    return replace(one, init_sql=replace(one.init_sql, sent=init_sql.statements(one.init_sql, engine)))


def _user(common: dict[str, Any], values: dict[str, Any]) -> Desired:
    parameters = values["config_parameters"]
    in_roles, hosts = values["in_roles"], values["allowed_hosts"]
    return DesiredUser(
        **common,
        **{name: values[name] for name in _USER_FIELDS},
        config_parameters=None if parameters is None else {str(k): _setting(v) for k, v in parameters.items()},
        in_roles=None if in_roles is None else tuple(dict.fromkeys(in_roles)),
        allowed_hosts=None if hosts is None else tuple(dict.fromkeys(hosts)),
    )


def _role(common: dict[str, Any], values: dict[str, Any]) -> Desired:
    in_roles, given = values["in_roles"], values["grants"]
    return DesiredRole(
        **common,
        **{name: values[name] for name in _ROLE_FIELDS},
        in_roles=None if in_roles is None else tuple(dict.fromkeys(in_roles)),
        grants=None if given is None else grants.read(given),
    )


def _grant(common: dict[str, Any], values: dict[str, Any]) -> Desired:
    kind = "user" if values["user"] else "role"
    return DesiredGrant(
        **common,
        grantee=values[kind],
        grantee_kind=kind,
        roles=tuple(dict.fromkeys(values["roles"] or ())),
        grants=grants.read(values["grants"] or ()),
        default_privileges=tuple(
            DatabaseDefaultPrivilege(
                one["database"],
                one["schema"],
                one["object_type"],
                grants.words(one["privileges"], field="default_privileges"),
                one["granted_by"],
            )
            for one in values["default_privileges"] or ()
        ),
    )


def _name(kind: str, values: Mapping[str, Any]) -> str:
    """Give the name of an object. One that gives privileges has none on the server, so it is that of its owner."""
    if kind == "database_access":
        return str(values["name"] or ".".join(values[one] for one in ("database", "schema", "table") if values[one]))
    if kind != "database_grant":
        return str(values["name"])
    if bool(values["user"]) == bool(values["role"]):
        raise DbopsError(Reason.INVALID_SPEC, "name either a user or a role as the one who gets it", field="user")
    name = str(values["name"] or values["user"] or values["role"])
    owner = Owner.from_options(values["dbops_owner"], kind=kind, name=name)
    return "/".join((owner.cluster, owner.kind, owner.namespace, owner.name)) if owner else name


def _setting(value: Any) -> str | None:
    """Give the value of a server setting as text; YAML's `on` and `off` come as booleans, nothing resets it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return None if value is None else str(value)


_BUILDERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Desired]] = {
    "database_instance": _instance,
    "database_access": _access,
    "database": _database,
    "database_user": _user,
    "database_role": _role,
    "database_grant": _grant,
}


def _validate(spec: argument_specs.Spec, options: Mapping[str, Any]) -> dict[str, Any]:
    _require_mappings(spec, options)
    result = ArgumentSpecValidator(spec).validate(_without_nothing(spec, options))
    if result.error_messages:
        message = str(result.error_messages[0])
        field = _field(message, spec)
        secret = any(
            spec_of.get("no_log") and isinstance(options.get(name), str) and str(options[name]) in message
            for name, spec_of in spec.items()
            if options.get(name)
        )
        text = f"{field or 'an option'} has a value that is not valid" if secret else message
        raise DbopsError(Reason.INVALID_SPEC, text, field=field)
    parameters: dict[str, Any] = result.validated_parameters
    return parameters


def _require_mappings(spec: argument_specs.Spec, options: Mapping[str, Any]) -> None:
    """Refuse entries that are no mappings: Ansible's validator does not say of which option they are."""
    for name, one in spec.items():
        value = options.get(name)
        if not one.get("options") or value is None:
            continue
        entries = [value] if one["type"] == "dict" else value
        if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
            text = f"{name} must be a {'mapping' if one['type'] == 'dict' else 'list of mappings'}"
            raise DbopsError(Reason.INVALID_SPEC, text, field=name)


def _without_nothing(spec: argument_specs.Spec, options: Mapping[str, Any]) -> dict[str, Any]:
    """Give OPTIONS without those of entries that are null: what was validated once has null where nothing was said."""
    found = dict(options)
    for name, one in spec.items():
        value, inner = found.get(name), one.get("options")
        if not inner:
            continue
        if isinstance(value, Mapping):
            found[name] = _given(inner, value)
        elif isinstance(value, list):
            found[name] = [_given(inner, entry) if isinstance(entry, Mapping) else entry for entry in value]
    return found


def _given(spec: argument_specs.Spec, options: Mapping[str, Any]) -> dict[str, Any]:
    return _without_nothing(spec, {name: value for name, value in options.items() if value is not None})


def _require_engine(kind: str, values: Mapping[str, Any], engine: str) -> None:
    """Refuse options that a server of this ENGINE cannot have."""
    spec = argument_specs.KINDS[kind]
    for family, kinds in argument_specs.ONLY.items():
        if family == argument_specs.ENGINES.get(engine):
            continue
        for option in kinds.get(kind, ()):
            if values[option] not in (None, spec[option].get("default")):
                text = f"{option} is an option of {family}, and this server is of another kind"
                raise DbopsError(Reason.INVALID_SPEC, text, field=option)
        for one in values.get("grants") or ():
            for option in kinds.get("grants", ()):
                if one[option] is not None:
                    text = f"grants[].{option} is an option of {family}, and this server is of another kind"
                    raise DbopsError(Reason.INVALID_SPEC, text, field="grants")


def _require_given(spec: argument_specs.Spec, values: Mapping[str, Any]) -> None:
    """Refuse nothing for what is required: to Ansible's validator null is an answer."""
    for name, one in spec.items():
        if one.get("required") and values[name] in (None, ""):
            raise DbopsError(Reason.INVALID_SPEC, f"{name} is empty", field=name)


def _require_text(values: Mapping[str, Any]) -> None:
    """Refuse what no server takes as text; sent along with others', it would fail them all."""
    for field, value in values.items():
        if not all(_is_text(one) for one in _strings(value)):
            text = f"{field} contains a NUL character, or something else that is not text"
            raise DbopsError(Reason.INVALID_SPEC, text, field=field)


def _strings(value: Any) -> Iterator[str]:
    """Give all strings in VALUE, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from (*_strings(key), *_strings(one))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)


def _is_text(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _field(message: str, spec: argument_specs.Spec) -> str | None:
    """Find the option that a message of Ansible's validator is about: it is the first word that is an option."""
    found = re.match(r"(?:([\w.]+)\. Supported parameters|missing required arguments: (\w+))", message)
    if found:
        return found.group(1) or found.group(2)
    known = set(spec) | {alias for one in spec.values() for alias in one.get("aliases", ())}
    return next((word for word in re.findall(r"\w+", message) if word in known), None)
