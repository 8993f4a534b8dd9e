# SPDX-License-Identifier: GPL-3.0-or-later
"""Secret templates: Go's text/template with the published functions; texts in, texts out.

The rendering itself runs in a child process (template_process.py), since a hostile template can ask for any amount of
time and memory; this file is what runs there, and the checks that need no rendering. Functions take text first where
the published API has it so; a pipe fills the last argument. Annotations of the functions are enforced by gotpl, so a
number is no text, as in Go. Pure.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import gotpl

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

MAX_SOURCE = 65_536
"""Characters of all templates of one Secret together."""
MAX_OUTPUT = 262_144
"""Characters of one rendered value; the whole must fit into a Secret (1 MiB)."""
FIELD = "spec.passwordSecret.secretTemplate"


# Types and annotations by which Kubernetes, or something that runs in it, puts a credential into a Secret.
_FORBIDDEN_TYPES = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})
_FORBIDDEN_ANNOTATIONS = ("kubernetes.io/", "k8s.io/", "dbops.dbprovision.io/")
_DESCRIPTIVE = ("app.kubernetes.io/",)


# Parts of gotpl's messages that cannot hold the value of a variable. Of any other only the line is told.
_HARMLESS = tuple(
    re.compile(pattern)
    for pattern in (
        r"missing key or attribute '\w{1,64}'$",
        r"method '\w{1,64}' is not allowed",
        r"function '\w{1,64}' is not defined",
        r"argument \d+ to \w{1,64}: expected [\w\[\]]{1,64}, got \w{1,64}$",
        r"wrong number of args for \w{1,64}: want [\w ]+ got \d+$",
        r"[\w -]+ budget exceeded: limit \d+",
        r"incompatible types for comparison$",
        r"illegal base64 data$",
        r"index out of range$",
    )
)


class TemplateRefused(Exception):  # noqa: N818
    """A template cannot be rendered; the message holds no value of a variable."""


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]


def _trim_prefix(text: str, prefix: str) -> str:
    return text.removeprefix(prefix)


def _trim_suffix(text: str, suffix: str) -> str:
    return text.removesuffix(suffix)


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


def _go_json(value: object) -> str:
    # Go escapes what could end a script in HTML, and the two line separators of JavaScript.
    encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    for character in "<>&\u2028\u2029":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return encoded


def _quote(text: str) -> str:
    return _go_json(text)


def _squote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _default(fallback: str, text: str) -> str:
    return text or fallback


def _base64_encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _base64_decode(text: str) -> str:
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("illegal base64 data") from None


def _url_encode(text: str) -> str:
    return quote_plus(text, safe="~")


def _url_path_encode(text: str) -> str:
    # The characters that Go's url.PathEscape leaves alone.
    return quote(text, safe="$&+=:@~")


def _upper(text: str) -> str:
    return text.upper()


def _lower(text: str) -> str:
    return text.lower()


def _trim(text: str) -> str:
    return text.strip()


def _join(items: list[str], separator: str) -> str:
    return separator.join(items)


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "urlEncode": _url_encode,
    "urlPathEncode": _url_path_encode,
    "base64Encode": _base64_encode,
    "base64Decode": _base64_decode,
    "upper": _upper,
    "lower": _lower,
    "title": _title,
    "trim": _trim,
    "trimPrefix": _trim_prefix,
    "trimSuffix": _trim_suffix,
    "replace": _replace,
    "quote": _quote,
    "squote": _squote,
    "default": _default,
    "toJson": _go_json,
    "join": _join,
}
_BUILT_IN = (
    *("and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice"),
    *("print", "printf", "println", "html", "js", "urlquery"),
)
_SANDBOX = gotpl.SandboxPolicy(
    allow_functions=(*FUNCTIONS, *_BUILT_IN),
    max_template_chars=MAX_SOURCE,
    default_budget=gotpl.ExecutionBudget(
        max_output_chars=MAX_OUTPUT, max_iterations=10_000, max_template_depth=50, max_function_calls=10_000
    ),
)


def render(sources: Mapping[str, str], variables: Mapping[str, Any]) -> dict[str, str]:
    """Render each of SOURCES with VARIABLES. Raises TemplateRefused, whose message names the key.

    Values are data: what comes out is never templated again.
    """
    made = {}
    for key, source in sources.items():
        try:
            made[key] = _template(source).render(dict(variables))
        except gotpl.TemplateError as error:
            raise TemplateRefused(f"{key}: {_explain(error)}") from None
        except (RecursionError, MemoryError):
            raise TemplateRefused(f"{key}: the template is too deep or too large") from None
    return made


def _template(source: str) -> gotpl.Template:
    return gotpl.Template(source, functions=FUNCTIONS, missing_key="error", sandbox=_SANDBOX)


def _explain(error: gotpl.TemplateError) -> str:
    if isinstance(error, gotpl.TemplateSyntaxError):
        # Made from the source alone.
        return str(error)
    assert isinstance(error, gotpl.TemplateExecutionError)
    known = next((match[0] for pattern in _HARMLESS if (match := pattern.search(error.message))), None)
    return f"line {error.line or 1}: {known or 'it cannot be executed'}"


def check(type_: str, annotations: Mapping[str, str], data: Mapping[str, str]) -> None:
    """Refuse a Secret template that would mint credentials or is beyond any use. Raises InvalidSpec or AccessDenied."""
    if type_ in _FORBIDDEN_TYPES:
        raise DbopsError(
            Reason.ACCESS_DENIED,
            f"a Secret of type {type_} is filled with a credential by Kubernetes",
            field=f"{FIELD}.type",
        )
    for name in annotations:
        domain = name.rpartition("/")[0]
        if f"{domain}/" in _DESCRIPTIVE:
            continue
        if any(f"{domain}/" == part or f"{domain}/".endswith(f".{part}") for part in _FORBIDDEN_ANNOTATIONS):
            raise DbopsError(
                Reason.ACCESS_DENIED, f"annotation {name} has a meaning to Kubernetes", field=f"{FIELD}.annotations"
            )
    if sum(map(len, data.values())) > MAX_SOURCE:
        raise DbopsError(
            Reason.INVALID_SPEC, f"the templates are longer than {MAX_SOURCE} characters", field=f"{FIELD}.data"
        )
