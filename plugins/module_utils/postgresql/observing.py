# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: all that some declared objects need, read together and anew into the state of the server.

Called by postgresql/server.py: once for a whole list, and again for single objects of it before and after they are
changed. What the list declares, and what was asked about access control lists, is remembered from one look to the
next, since what one object changes may be what another one looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    Desired,
    DesiredDatabase,
    DesiredUser,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    catalog,
    catalog_access,
    catalog_databases,
    catalog_grants,
    declared,
    dependencies,
    discovery,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import login as logins
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import AclObject, DatabaseAcls
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import can_act_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.catalog_grants import by_database
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Connector
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.declared import Thing
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.kinds import KINDS
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.ledger import Ledger
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Asked,
    Declaration,
    Reader,
    Role,
    ServerState,
    Wanted,
    add_asked,
)


@dataclass
class Observing:
    """The looks at one server. `inside` gives a session in a database, `ours` the processes behind the open ones."""

    connector: Connector
    inside: Callable[[str], Reader]
    ours: Callable[[], Sequence[int]]
    _listed: dict[Thing, Desired] = field(default_factory=dict)
    _by_grantee: dict[str, dict[Thing, Desired]] = field(default_factory=dict)
    _recorded: dict[str, dict[Thing, Entry]] = field(default_factory=dict)
    _version_number: int = 0
    _asked: dict[str, dict[Target, set[str]]] = field(default_factory=dict)

    def look(
        self,
        objects: Sequence[Desired],
        state: ServerState,
        main: Reader,
        book: Ledger | None,
        entries: dict[Thing, Entry],
    ) -> None:
        """Read what OBJECTS need into STATE, and what the ledger (BOOK) says of them into ENTRIES."""
        found = self._read_entries(objects, book, entries)
        wanted = Wanted.union(
            chain(
                (KINDS[one.kind].wanted(one) for one in objects),
                (declared.wanted_again(entry) for entry in found),
                [Wanted(grantees=frozenset(name for one in objects for name in declared.of_interest(one)))],
            )
        )
        contents: frozenset[str] = frozenset()
        if wanted.databases:
            contents = catalog_databases.read_into(state, main, wanted, self.ours())
        wanted = self._with_asked(objects, _with_templates(objects, wanted, state))
        self._visit(wanted, contents, state, main)
        self._note(objects, state)
        self._read_declarations(wanted, book)
        self._read_roles(wanted, _owners(state, wanted), state, main)
        if wanted.settings:
            state.settings |= catalog.settings(main, wanted.settings, state.facts.admin)
        if wanted.unmanaged:
            state.unmanaged = discovery.unmanaged(main, book, admin=state.facts.admin.name)
        state.access |= {name: catalog_access.read(self.inside, name) for name in wanted.access}
        for user in objects:
            if isinstance(user, DesiredUser):
                self._try_password(user, state)
        # Somebody may have made and recorded one while we looked: then it has an entry as well, and not only exists.
        self._read_entries([one for one in objects if one.owner_record and _thing(one) not in entries], book, entries)

    def foresee(self, entry: Entry) -> None:
        """Take an entry for what the ledger says of one declaration."""
        for known in self._recorded.values():
            known.pop((entry.kind, entry.name), None)
        for grantee in declared.recorded_grantees(entry) if entry.state != "absent" else ():
            if grantee in self._recorded:
                self._recorded[grantee][entry.kind, entry.name] = entry

    def look_again(self, database: str, state: ServerState, main: Reader) -> None:
        """Read anew what was asked of the content of a DATABASE, which a script has changed."""
        wanted = Wanted(acls=self._asked.get(database, {}))
        self._visit(wanted, frozenset(), state, main)
        self._read_roles(wanted, _owners(state, wanted), state, main)

    def _read_entries(
        self, objects: Sequence[Desired], book: Ledger | None, entries: dict[Thing, Entry]
    ) -> list[Entry]:
        things = [thing for one in objects if (thing := _thing(one))]
        for known in things:
            entries.pop(known, None)
        found = book.read(things) if book and things else {}
        entries |= found
        return list(found.values())

    def _with_asked(self, objects: Sequence[Desired], wanted: Wanted) -> Wanted:
        """Remember what is asked; when a database is looked at again, what was asked of its content is as well."""
        for name, asked in by_database(wanted.acls).items():
            add_asked(self._asked.setdefault(name, {}), asked)
        names = {one.name for one in objects if isinstance(one, DesiredDatabase)}
        again = {target: those for name in names for target, those in self._asked.get(name, {}).items()}
        return wanted._replace(acls={**wanted.acls, **again}) if again else wanted

    def _note(self, objects: Sequence[Desired], state: ServerState) -> None:
        """Remember what the list declares."""
        for one in objects:
            thing = _thing(one)
            if not thing:
                continue
            for grantee in declared.grantees(self._listed.get(thing)):
                self._by_grantee[grantee].pop(thing, None)
            self._listed[thing] = one
            for grantee in declared.grantees(one):
                self._by_grantee.setdefault(grantee, {})[thing] = one
        self._version_number = state.facts.version_number
        state.others = self._others

    def _others(self, grantee: str, own: Thing) -> list[Declaration]:
        """Give what others than OWN give to GRANTEE; what the list says of a declaration goes before the ledger."""
        given = []
        for thing, entry in self._recorded.get(grantee, {}).items():
            listed = self._listed.get(thing)
            if thing != own and not (listed and listed.owner_record == entry.owner):
                given.append(declared.by_entry(entry))
        for thing, one in self._by_grantee.get(grantee, {}).items():
            if thing != own:
                given.append(declared.by_list(one, self._version_number))
        return [one[grantee] for one in given if grantee in one]

    def _read_declarations(self, wanted: Wanted, book: Ledger | None) -> None:
        """Read what the ledger says that is given to roles of interest."""
        for name in wanted.grantees:
            self._recorded[name] = {}
        if not book or not wanted.grantees:
            return
        for entry in book.declared(wanted.grantees, wanted.default_acls):
            for grantee in declared.recorded_grantees(entry):
                if grantee in wanted.grantees:
                    self._recorded[grantee][entry.kind, entry.name] = entry

    def _visit(self, wanted: Wanted, contents: frozenset[str], state: ServerState, main: Reader) -> None:
        """Read the CONTENTS of databases, and who holds what on and in them; each is visited once, for all of it."""
        asked = by_database(wanted.acls)
        visits = catalog_grants.read_into(state, main, asked, wanted.default_acls)
        known: set[str] = set()
        for name in sorted({*contents, *asked, *wanted.default_acls}):
            if name in contents:
                catalog_databases.look_into(state, name, self.inside)
            if name in visits:
                catalog_grants.look_into(state, name, visits[name], self.inside)
            if name in state.acls and name in asked:
                owners = set() if state.facts.admin.superuser else state.acls[name].owners() - known
                if owners:
                    self._read_roles(Wanted(), owners, state, main)
                    known |= owners
                self._read_effective(asked[name], state.acls[name], state, main)
        if wanted.extensions:
            catalog_databases.read_extensions(state, main, wanted.extensions)

    def _read_roles(self, wanted: Wanted, owners: Iterable[str], state: ServerState, main: Reader) -> None:
        admin = state.facts.admin
        names = sorted({*wanted.roles, *owners, admin.name})
        found = catalog.roles(main, names, admin)
        going = dependencies.read(found, wanted.dependencies, main, self.inside)
        if going:
            found |= going
            owners = {owner for role in going.values() for owner in dependencies.owners(role)} - set(names)
            found |= catalog.roles(main, owners, admin)
            names = sorted({*names, *owners})
        pairs = {pair for pair in wanted.memberships if found.keys() >= {*pair} and _lacks(found[pair[0]], pair[1])}
        state.circles = (state.circles - wanted.memberships) | (catalog.circles(main, pairs) if pairs else frozenset())
        # In place: with thousands of roles, and one that is looked at again, most stay.
        for name in names:
            state.roles.pop(name, None)
        state.roles |= found
        state.role_names.difference_update(names)
        state.role_names.update(found)
        rights = catalog.rights(main, names, admin)
        for one, those in rights.items():
            if those is not None:
                known = getattr(admin, one) or frozenset()
                rights[one] = (known - set(names)) | those
        state.facts = replace(state.facts, admin=replace(admin, **rights))

    def _read_effective(self, asked: Asked, database: DatabaseAcls, state: ServerState, main: Reader) -> None:
        """Where this account cannot grant, and where a role needs a schema, see what roles may do all the same."""
        itself: dict[tuple[str, str], list[AclObject]] = {}
        within: dict[tuple[str, str], list[AclObject]] = {}
        for target, grantees in asked.items():
            for one in database.find(target):
                lacking = itself if one.type == "database" else within
                decided = can_act_as(database.real_owner(one), state)
                for grantee in _without_usage(one, grantees) if decided else grantees:
                    lacking.setdefault((grantee, target.column), []).append(one)
        if itself:
            catalog_grants.read_effective(main, itself)
        if within:
            try:
                catalog_grants.read_effective(self.inside(database.database.name), within)
            except DbopsError as error:
                # What is wrong with one database is no matter of others.
                database.problem = error

    def _try_password(self, user: DesiredUser, state: ServerState) -> None:
        """Where verifiers may not be read, one login tells whether the password is as declared."""
        role = state.roles.get(user.name)
        undecided = role and role.verifier is None and user.present and user.password
        if role and undecided and user.password and user.update_password == "always":  # noqa: S105 (no password)
            state.roles[user.name] = replace(role, password_matches=logins.matches(self.connector, role, user))


def _with_templates(objects: Sequence[Desired], wanted: Wanted, state: ServerState) -> Wanted:
    """What is asked about the content of a database that is still to be made is asked of its template as well."""
    made = {one.name: one for one in objects if isinstance(one, DesiredDatabase) and one.present}
    acls: dict[Target, set[str]] = {}
    for target, grantees in wanted.acls.items():
        name, seen = target.database, set[str]()
        while name in made and name not in state.databases and name not in seen:
            seen.add(name)
            name = made[name].template or "template1"
        new = all(schema.name != target.schema for schema in made[target.database].schemas) if seen else False
        if new and target.type != "database" and name in state.databases:
            add_asked(acls, {target._replace(database=name): grantees})
    if acls:
        add_asked(acls, wanted.acls)
        return wanted._replace(acls=acls)
    return wanted


def _thing(one: Desired) -> Thing | None:
    thing = KINDS[one.kind].thing
    return (thing, one.name) if thing else None


def _owners(state: ServerState, wanted: Wanted) -> set[str]:
    """Give who owns what was looked at: without superuser it is changed in the owner's name."""
    databases = [state.databases[name] for name in wanted.databases if name in state.databases]
    names = {target.database for target in wanted.acls} | wanted.default_acls
    looked_at = [state.acls[name] for name in names if name in state.acls]
    return {owner for found in (databases, looked_at) for one in found for owner in one.owners()}


def _without_usage(one: AclObject, grantees: Iterable[str]) -> list[str]:
    """Give which GRANTEES may use a schema neither by themselves nor as everybody may."""
    if one.type != "schema" or _uses(one, PUBLIC):
        return []
    return [grantee for grantee in grantees if not _uses(one, grantee)]


def _uses(schema: AclObject, grantee: str) -> bool:
    return any("USAGE" in entry.privileges for entry in schema.entries.get(grantee, ()))


def _lacks(member: Role, role: str) -> bool:
    return all(row.role != role for row in member.member_of)
