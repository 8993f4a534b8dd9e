# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements of a dump that name roles, as they fit the place where it is restored; pure.

Called by loading.py for each statement. What is restored belongs to the target's owner, or to the role that
`role_mapping` names for the dump's; nobody becomes an owner because a dump says so. Privileges go to the role that the
mapping names, else to the role of the same name, and where there is none they are left out, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

RoleFor = Callable[[str], str | None]  # pylint: disable=unsupported-binary-operation
_TOKEN = re.compile(rb"""U&"(?:[^"]|"")*"|"(?:[^"]|"")*"|'(?:[^']|'')*'|[^\s"',();]+|[,();]|\s+""")
_LEFT_OUT = re.compile(
    rb"(?:SET|RESET)\s+SESSION\s+AUTHORIZATION\b|SET\s+default_tablespace\b|COMMENT\s+ON\s+EXTENSION\b", re.IGNORECASE
)
"""What only an administrator may, and what belongs to the place rather than the content."""
_NOT_RESTORED = re.compile(rb"(CREATE\s+SUBSCRIPTION|ALTER\s+SUBSCRIPTION|SECURITY\s+LABEL)\b", re.IGNORECASE)
_ENCODING = re.compile(rb"SET\s+client_encoding\s*=\s*'([A-Za-z0-9_-]+)'\s*;\Z", re.IGNORECASE)
_UNSAFE_ENCODINGS = (b"SJIS", b"SHIFT", b"BIG5", b"GBK", b"UHC", b"GB18030", b"JOHAB")
"""Encodings in which a byte of ASCII may be the second half of a character: statements cannot be told apart."""
_DISABLE = re.compile(rb"\A(ALTER\s+TABLE\s.*\s(?:DISABLE|ENABLE)\s+TRIGGER\s+)ALL(\s*;)\Z", re.DOTALL)


@dataclass
class Roles:
    """Which role takes the place of which, and what was left out for want of one."""

    owner: str
    mapping: Mapping[str, str]
    existing: Collection[str]
    missing: set[str] = field(default_factory=set)
    warnings: dict[str, None] = field(default_factory=dict)

    def fitted(self, text: bytes) -> bytes | None:
        """Give the statement TEXT as it is sent; None when it is left out. Raises DbopsError."""
        words = text[:200].split(None, 2)
        first = words[0].upper() if words else b""
        second = words[1].upper() if len(words) > 1 else b""
        if first in (b"GRANT", b"REVOKE"):
            return self._granted(text, b"TO" if first == b"GRANT" else b"FROM")
        if (first, second) == (b"ALTER", b"DEFAULT"):
            return self._default_privileges(text)
        if first == b"ALTER":
            return self._altered(text)
        if (first, second) == (b"CREATE", b"POLICY"):
            return self._policy(text)
        if first in (b"SET", b"RESET", b"COMMENT", b"SECURITY", b"CREATE"):
            return self._other(text)
        return text

    def summary(self) -> list[str]:
        """Give what people should know in the end."""
        left_out = [f"privileges of {name} were left out: there is no such role" for name in sorted(self.missing)]
        return [*self.warnings, *left_out]

    def _altered(self, text: bytes) -> bytes | None:
        if _NOT_RESTORED.match(text):
            return self._other(text)
        disabling = _DISABLE.match(text)
        if disabling:
            self.warnings["only user triggers were disabled: the triggers of foreign keys are a superuser's"] = None
            return disabling.group(1) + b"USER" + disabling.group(2)
        tokens = _tokens(text)
        words = [token.upper() for token in tokens if not token.isspace()]
        if words[-4:-2] != [b"OWNER", b"TO"] or words[-1:] != [b";"]:
            return text
        place = max(number for number, token in enumerate(tokens) if token.upper() == b"TO")
        return self._replaced(tokens, place, self.mapping.get)

    def _granted(self, text: bytes, word: bytes) -> bytes | None:
        tokens = _tokens(text)
        places = [number for number, token in enumerate(tokens) if token.upper() == word]
        return self._replaced(tokens, places[-1], self._grantee) if places else text

    def _default_privileges(self, text: bytes) -> bytes | None:
        tokens = _tokens(text)
        for number, token in enumerate(tokens):
            if token.upper() == b"ROLE":
                replaced = self._replaced(tokens, number, lambda role: self.mapping.get(role, self.owner))
                text = replaced or text
                break
        upper = [token.upper() for token in _tokens(text)]
        return self._granted(text, b"TO" if b"GRANT" in upper else b"FROM")

    def _policy(self, text: bytes) -> bytes:
        tokens = _tokens(text)
        depth = 0
        for number, token in enumerate(tokens):
            depth += {b"(": 1, b")": -1}.get(token, 0)
            if depth == 0 and token.upper() == b"TO":
                return b"".join(tokens[: number + 1] + self._listed(tokens[number + 1 :]))
            if token.upper() in (b"USING", b"WITH"):
                break
        return text

    def _listed(self, tokens: Sequence[bytes]) -> list[bytes]:
        """Put the roles at the beginning of TOKENS into their place."""
        found: list[bytes] = []
        for number, token in enumerate(tokens):
            if token.upper() in (b"USING", b"WITH", b";"):
                return [*found, *tokens[number:]]
            name = None if token.isspace() or token == b"," else self.mapping.get(_name(token))
            found.append(token if name is None else _quoted(name))
        return found

    def _other(self, text: bytes) -> bytes | None:
        if _LEFT_OUT.match(text):
            return None
        refused = _NOT_RESTORED.match(text)
        if refused:
            what = b" ".join(refused.group(1).split()[-2:]).decode().lower().replace("create ", "")
            self.warnings[f"{what.rsplit(' ', maxsplit=1)[-1]}s are not restored"] = None
            return None
        encoding = _ENCODING.match(text)
        if encoding and encoding.group(1).upper().startswith(_UNSAFE_ENCODINGS):
            text_encoding = encoding.group(1).decode()
            message = f"dumps in the encoding {text_encoding} are not read; dump with --encoding=UTF8"
            raise DbopsError(Reason.UNSUPPORTED, message)
        return text

    def _grantee(self, role: str) -> str | None:
        name = self.mapping.get(role, role)
        if name in self.existing or role in self.mapping:
            return name
        self.missing.add(role)
        return None

    def _replaced(self, tokens: list[bytes], place: int, by: RoleFor) -> bytes | None:
        """Put the role behind the token PLACE into its place; None where BY knows none."""
        number = next((one for one in range(place + 1, len(tokens)) if not tokens[one].isspace()), None)
        if number is None:
            return b"".join(tokens)
        if tokens[number].lower() in (b"public", b"current_user", b"session_user", b"current_role"):
            return b"".join(tokens)
        name = by(_name(tokens[number]))
        if name is None:
            return None
        return b"".join([*tokens[:number], _quoted(name), *tokens[number + 1 :]])


def _tokens(text: bytes) -> list[bytes]:
    return _TOKEN.findall(text)


def _name(token: bytes) -> str:
    """Give the role that an identifier names."""
    if token.startswith(b'"'):
        return token[1:-1].replace(b'""', b'"').decode("utf-8", "replace")
    return token.decode("utf-8", "replace").lower()


def _quoted(name: str) -> bytes:
    return b'"' + name.replace('"', '""').encode() + b'"'
