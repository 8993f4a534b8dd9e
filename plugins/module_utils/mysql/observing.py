# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: all that some declared objects need, read together and anew into the state of the server.

Called by mysql/server.py: once for a whole list, and again for single objects of it before and after they are
changed. What the list declares is remembered from one look to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    Desired,
    DesiredGrant,
    DesiredRole,
    DesiredUser,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry, Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    catalog,
    catalog_access,
    catalog_accounts,
    catalog_databases,
    catalog_grants,
    declared,
    discovery,
    emulation,
    memberships,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import login as logins
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.access_state import TableName
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import Connector
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.declared import Given, Thing
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.dialects import Dialect
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.kinds import KINDS
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.ledger import Ledger
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    Declaration,
    Reader,
    ServerState,
    Wanted,
)

_NOTHING = Wanted()


@dataclass
class Observing:
    """The looks at one server."""

    connector: Connector
    _listed: dict[Thing, tuple[Owner | None, Given | None]] = field(default_factory=dict)
    _by_grantee: dict[str, dict[Thing, Declaration]] = field(default_factory=dict)
    _tried: dict[tuple[str, str], bool | None] = field(default_factory=dict, repr=False)

    def look(
        self,
        objects: Sequence[Desired],
        state: ServerState,
        main: Reader,
        book: Ledger | None,
        entries: dict[Thing, Entry],
    ) -> None:
        """Read what OBJECTS need into STATE, and what the ledger (BOOK) says of them into ENTRIES."""
        self._read_entries(objects, book, entries)
        wanted = Wanted.union(KINDS[one.kind].wanted(one) for one in objects if one.kind in KINDS)
        self._read_accounts(wanted.with_(Wanted.union(_again(one, entries) for one in objects)), state, main)
        self._read_databases(wanted, state, main)
        if wanted.unmanaged:
            state.unmanaged = discovery.unmanaged(main, book, state.facts)
        for name in wanted.access:
            state.access[name] = catalog_access.read(main, TableName(*name), state.facts)
        self._note(objects, state)
        grantees = frozenset().union(*(declared.grantees(one) for one in objects))
        grantees |= _formerly(objects, entries) | self._read_members(objects, entries, state, main, book)
        holders = {name.user for held in state.privileges_in.values() for name in held}
        self._read_declarations(grantees | holders if wanted.privileges_in else grantees, book, state, main)
        for user in objects:
            if isinstance(user, DesiredUser):
                self._try_password(user, state)
        # Somebody may have made and recorded one while we looked: then it has an entry as well, and not only exists.
        self._read_entries([one for one in objects if one.owner_record and _thing(one) not in entries], book, entries)

    def _read_members(
        self,
        objects: Sequence[Desired],
        entries: Mapping[Thing, Entry],
        state: ServerState,
        main: Reader,
        book: Ledger | None,
    ) -> frozenset[str]:
        """Where a role that is none of the server's may change, read who has it, with all that matters for them."""
        names = {_user_of(one) for one in objects if isinstance(one, DesiredRole | DesiredGrant)}
        found: frozenset[str] = frozenset()
        for role in sorted(names | _formerly(objects, entries)):
            if not emulation.is_emulated(role, state):
                continue
            given = [declared.by_entry(entry) for entry in book.members_of(role)] if book else []
            by_list = {who for who, those in self._by_grantee.items() for one in those.values() if role in one.roles}
            state.members[role] = frozenset(one[0] for one in given if one) | by_list
            others = {name for one in given if one for name in one[1].roles}
            wanted = Wanted(users=state.members[role] | others, privileges=state.members[role] | others)
            self._read_accounts(Wanted.union([wanted]), state, main)
            found |= state.members[role]
        return found

    def changing(self) -> None:
        """Forget what passwords were tried: something is about to change."""
        self._tried.clear()

    def _read_entries(self, objects: Iterable[Desired], book: Ledger | None, entries: dict[Thing, Entry]) -> None:
        things = [thing for one in objects if (thing := _thing(one))]
        for known in things:
            entries.pop(known, None)
        if book:
            entries |= book.read(things)

    def _read_accounts(self, wanted: Wanted, state: ServerState, main: Reader) -> None:
        admin, dialect = state.facts.admin, state.facts.dialect
        if not wanted.users or not admin.reads_accounts:
            return
        found = catalog_accounts.of_users(main, wanted.users, dialect)
        reading = {*wanted.privileges, *_emulated(wanted, found, dialect)} & found.keys()
        if reading:
            for name, those in catalog_grants.of_users(main, reading, dialect).items():
                accounts = found[name.user] if name.user in reading else {}
                if name.host in accounts:
                    accounts[name.host] = replace(accounts[name.host], privileges=those)
        for user in wanted.users:
            state.accounts.pop(user, None)
        state.accounts |= found
        further = _further(wanted, found)
        if further:
            state.roles_beyond |= catalog_accounts.roles_beyond(main, further, dialect.flavour)
        state.definitions |= catalog_accounts.definitions(main, wanted.definers & found.keys(), dialect.flavour)
        administered = catalog.administers(main, admin.acts_as, dialect)
        state.facts = replace(state.facts, admin=replace(admin, administers=administered))
        if dialect.has_dynamic_privileges and wanted.privileges and not state.dynamic_privileges:
            state.dynamic_privileges = catalog_grants.dynamic(main)

    def _read_databases(self, wanted: Wanted, state: ServerState, main: Reader) -> None:
        if not wanted.databases:
            return
        if not state.collations:
            state.collations, state.default_collations = catalog_databases.collations(main, state.facts)
        for name in wanted.databases:
            state.databases.pop(state.facts.fold(name), None)
        state.databases |= catalog_databases.read(main, wanted.databases, state.facts)
        if wanted.targets:
            there = catalog_databases.targets(main, wanted.targets, state)
            state.targets = {key: value for key, value in state.targets.items() if key not in wanted.targets} | there
        if wanted.privileges_in and state.facts.admin.reads_accounts:
            state.privileges_in |= catalog_grants.on_databases(main, wanted.privileges_in, state.facts)

    def _note(self, objects: Iterable[Desired], state: ServerState) -> None:
        """Remember what the list declares."""
        for one in objects:
            thing = _thing(one)
            if not thing:
                continue
            before = self._listed.pop(thing, (None, None))[1]
            if before:
                self._by_grantee[before[0]].pop(thing, None)
            given = declared.by_list(one, state.facts, state.dynamic_privileges)
            self._listed[thing] = one.owner_record, given
            if given:
                self._by_grantee.setdefault(given[0], {})[thing] = given[1]

    def _read_declarations(
        self, grantees: frozenset[str], book: Ledger | None, state: ServerState, main: Reader
    ) -> None:
        found: dict[str, dict[Thing, Declaration]] = {name: {} for name in grantees}
        for entry in book.given_to(grantees) if book else ():
            thing = (entry.kind, entry.name)
            listed = self._listed.get(thing)
            given = declared.by_entry(entry)
            # What its owner declares now counts, not what it declared before.
            if given and not (listed and listed[0] == entry.owner):
                found[given[0]][thing] = given[1]
        for name in grantees:
            for thing, one in self._by_grantee.get(name, {}).items():
                found[name][thing] = declared.joined(one, found[name].get(thing))
        state.declared |= found
        self._read_roles_of(found, state, main)

    def _read_roles_of(
        self, found: Mapping[str, Mapping[Thing, Declaration]], state: ServerState, main: Reader
    ) -> None:
        """Read what declarations give by roles that are none of the server's."""
        if state.facts.dialect.roles_are_accounts:
            return
        pairs = {(who, role) for who, those in found.items() for one in those.values() for role in one.roles}
        new = frozenset(pair for pair in pairs if pair[1] not in state.accounts)
        roles = Wanted(users=frozenset(role for _who, role in new), memberships=new)
        self._read_accounts(Wanted.union([roles]), state, main)

    def _try_password(self, user: DesiredUser, state: ServerState) -> None:
        """Where hashes tell nothing, one login tells whether the password is as declared."""
        for account in state.of_user(user.name):
            if not logins.must_try(account, user):
                continue
            key = (user.name, str(user.password))
            if key not in self._tried:
                # Never twice with nothing changed in between: the server may count failures.
                self._tried[key] = logins.matches(self.connector, user)
            state.accounts[user.name][account.name.host] = replace(account, password_matches=self._tried[key])


def _user_of(desired: Desired) -> str:
    return desired.grantee if isinstance(desired, DesiredGrant) else desired.name


def _again(desired: Desired, entries: Mapping[Thing, Entry]) -> Wanted:
    """Give what must be read to take back what the ledger says that a declaration gave by its roles."""
    thing = _thing(desired)
    given = declared.by_entry(entries[thing]) if thing and thing in entries else None
    if not given:
        return _NOTHING
    users, holders = given[1].roles, frozenset({given[0]} if given[1].copied else ())
    if isinstance(desired, DesiredGrant):
        # Who got it may be another one than now.
        users |= {given[0], memberships.umbrella(given[0])}
        holders = frozenset({given[0]})
    return Wanted(
        users=users,
        memberships=frozenset((given[0], role) for role in given[1].roles),
        privileges=holders,
    )


def _formerly(objects: Iterable[Desired], entries: Mapping[Thing, Entry]) -> frozenset[str]:
    """Give to whom grants among OBJECTS gave something by the ledger."""
    things = [("grant", one.name) for one in objects if isinstance(one, DesiredGrant)]
    given = [declared.by_entry(entries[thing]) for thing in things if thing in entries]
    return frozenset(one[0] for one in given if one)


def _emulated(wanted: Wanted, found: Mapping[str, Mapping[str, Account]], dialect: Dialect) -> Iterator[str]:
    """Give the roles that are none of the server's, and who is to get them: their privileges matter."""
    if dialect.roles_are_accounts:
        return
    for member, role in wanted.memberships:
        if role in found and not any(one.is_role for one in found[role].values()):
            yield member
            yield role


def _further(wanted: Wanted, found: Mapping[str, Mapping[str, Account]]) -> set[str]:
    """Give the roles of roles that somebody is to get: who is met on the way from there cannot get them."""
    names: set[str] = set()
    for member, role in wanted.memberships:
        if any(all(grant.role.user != role for grant in one.roles) for one in found.get(member, {}).values()):
            names |= {grant.role.user for one in found.get(role, {}).values() for grant in one.roles}
    return names


def _thing(desired: Desired) -> Thing | None:
    kind = KINDS.get(desired.kind)
    return (kind.thing, desired.name) if kind and kind.thing else None
