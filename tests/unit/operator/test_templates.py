# SPDX-License-Identifier: GPL-3.0-or-later
"""Secret templates: Go's language and the published functions, and that a stranger's template harms nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import templates
from dbops_operator.template_process import TemplateProcess
from dbops_operator.templates import TemplateRefused, render

VARIABLES: dict[str, Any] = {
    "Username": "app",
    "Password": "p@ s/'\"<ä",
    "Host": "db.example.org",
    "Port": 5432,
    "Database": "postgres",
    "SSLMode": "",
    "Namespace": "team",
    "Name": "my-app",
    "CA": "",
    "TLSCert": "",
    "TLSKey": "",
}


def one(source: str) -> str:
    return render({"key": source}, VARIABLES)["key"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # The language.
        ("plain", "plain"),
        ("{{ .Username }}@{{ .Host }}:{{ .Port }}", "app@db.example.org:5432"),
        ("a {{- 1 -}} b", "a1b"),
        ("{{/* nothing */}}x", "x"),
        ('{{ `raw\\n` }}{{ "cooked\\n" }}', "raw\\ncooked\n"),
        ('{{ if .SSLMode }}a{{ else if eq .Username "app" "x" }}b{{ else }}c{{ end }}', "b"),
        ("{{ with .SSLMode }}{{ . }}{{ else }}none{{ end }}", "none"),
        ("{{ range $i := 3 }}{{ if eq $i 2 }}{{ break }}{{ end }}{{ $i }}{{ end }}", "01"),
        ("{{ $x := .Port }}{{ $x = 1 }}{{ $x }}", "1"),
        ('{{ define "T" }}[{{ . }}]{{ end }}{{ template "T" .Name }}', "[my-app]"),
        ('{{ (printf "%s-%d" .Name .Port) | upper }}', "MY-APP-5432"),
        ('{{ and 1 0 }} {{ or 0 "x" }} {{ not true }}', "0 x false"),
        ("{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1 2 }}{{ ge 1 2 }}{{ ne 1 2 }}", "truetruefalsefalsetrue"),
        ("{{ len .Username }}{{ index .Username 0 }}{{ slice .Username 1 2 }}", "397p"),
        ('{{ print 1 2 "a" }}{{ println "b" }}', "1 2ab\n"),
        ('{{ html "<a>" }}{{ urlquery "a b" }}{{ js "\'" }}', "&lt;a&gt;a+b\\'"),
        ('{{ printf "%05d|%q|%v|%x|%t" 42 "q" .Port "hi" true }}', '00042|"q"|5432|6869|true'),
        # The functions.
        ("{{ .Password | urlEncode }}", "p%40+s%2F%27%22%3C%C3%A4"),
        ('{{ urlPathEncode "a b/c?d&e=f:g@h$i+j" }}', "a%20b%2Fc%3Fd&e=f:g@h$i+j"),
        ('{{ urlEncode "~-_.a*" }}', "~-_.a%2A"),
        ('{{ base64Encode .Username }}{{ base64Decode "YXBw" }}', "YXBwapp"),
        ('{{ upper "aä" }}{{ lower "AÄ" }}{{ trim " a " }}', "AÄaäa"),
        ('{{ title "hello world" }}', "Hello world"),
        ('{{ trimPrefix "a.b" "a." }}{{ trimSuffix "a.b" ".b" }}', "ba"),
        ('{{ replace "a.b.c" "." "-" }}', "a-b-c"),
        ('{{ "x" | replace "aba" "a" }}', "xbx"),
        ('{{ "b" | trimPrefix "ab" }}', "ab"),
        ('{{ quote "<a href=\\"x\\">&" }}', '"\\u003ca href=\\"x\\"\\u003e\\u0026"'),
        ('{{ squote "it\'s" }}', "'it'\\''s'"),
        ('{{ default "x" .SSLMode }}{{ .Username | default "x" }}', "xapp"),
        ("{{ toJson .Port }}{{ toJson .Username }}", '5432"app"'),
        ("{{ `{{ .Password }}` }}", "{{ .Password }}"),
    ],
)
def test_as_go_renders_it(source: str, expected: str) -> None:
    assert one(source) == expected


def test_lists_and_maps_as_go_renders_them() -> None:
    variables = {"List": ["a", "b"], "Map": {"b": 1, "a": "<"}}
    sources = {
        "join": '{{ join .List "," }}',
        # A pipe fills the last argument, which is the separator.
        "piped": '{{ "-" | join .List }}',
        "json": "{{ toJson .List }}{{ .Map | toJson }}",
        "range": "{{ range $key, $value := .Map }}{{ $key }}={{ $value }};{{ end }}",
    }
    assert render(sources, variables) == {
        "join": "a,b",
        "piped": "a-b",
        "json": '["a","b"]{"a":"\\u003c","b":1}',
        "range": "a=<;b=1;",
    }


def test_what_everybody_writes() -> None:
    source = "postgresql://{{ .Username }}:{{ .Password | urlEncode }}@{{ .Host }}:{{ .Port }}/{{ .Database }}"
    assert one(source) == "postgresql://app:p%40+s%2F%27%22%3C%C3%A4@db.example.org:5432/postgres"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ .Username", "unclosed action"),
        ("{{ nope .Username }}", "'nope' not defined"),
        ("{{ .Nope }}", "'Nope'"),
        ('{{ default "5432" .Port }}', "expected str, got int"),
        ("{{ urlEncode .Port }}", "expected str, got int"),
        ('{{ eq .Port "5432" }}', "incompatible types"),
        ('{{ base64Decode "?" }}', "illegal base64"),
        ("{{ upper }}", "wrong number of args"),
        ("{{ .Username.upper }}", "not allowed"),
        ("{{ .Username.__class__ }}", "line 1"),
        ("{{ call .Username }}", "not defined"),
        ('{{ template "none" }}', "line 1"),
        ("{{ range 1000000 }}{{ end }}", "budget"),
        ('{{ define "T" }}{{ template "T" }}{{ end }}{{ template "T" }}', "budget"),
    ],
)
def test_broken_ones_say_what_is_wrong(source: str, message: str) -> None:
    with pytest.raises(TemplateRefused, match=message) as failure:
        one(source)
    assert str(failure.value).startswith("key: ")


@pytest.mark.parametrize(
    "source",
    [
        "{{ index .Password .Password }}",
        "{{ template .Password }}",
        "{{ slice .Password 0 99 }}",
        "{{ .Password | len | upper }}",
    ],
)
def test_errors_hold_no_value(source: str) -> None:
    with pytest.raises(TemplateRefused) as failure:
        one(source)
    assert "p@" not in str(failure.value)


@pytest_asyncio.fixture
async def process() -> AsyncIterator[TemplateProcess]:
    child = TemplateProcess(seconds=1.0)
    yield child
    await child.close()


BOMBS = {
    "memory": '{{ $x := "aaaaaaaa" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}',
    "width": '{{ printf "%999999999d" 1 }}',
    "time": "".join(
        f'{{{{ define "T{n}" }}}}{{{{ template "T{n + 1}" }}}}{{{{ template "T{n + 1}" }}}}{{{{ end }}}}'
        for n in range(40)
    )
    + '{{ define "T40" }}{{ end }}{{ template "T0" }}',
    "size": "{{ range 9000 }}" + "a" * 100 + "{{ end }}",
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_costs_little_and_the_next_one_is_served(process: TemplateProcess, bomb: str) -> None:
    with pytest.raises(DbopsError) as failure:
        await process.render({"key": BOMBS[bomb]}, VARIABLES)
    assert failure.value.reason is Reason.INVALID_SPEC
    assert await process.render({"key": "{{ .Username }}"}, VARIABLES) == {"key": "app"}


@pytest.mark.parametrize(
    ("type_", "annotations"),
    [
        ("kubernetes.io/service-account-token", {}),
        ("bootstrap.kubernetes.io/token", {}),
        ("Opaque", {"kubernetes.io/service-account.name": "admin"}),
        ("Opaque", {"dbops.dbprovision.io/allow-from": "*"}),
        ("Opaque", {"auth.k8s.io/x": "y"}),
    ],
)
def test_what_mints_credentials_is_refused(type_: str, annotations: dict[str, str]) -> None:
    with pytest.raises(DbopsError) as failure:
        templates.check(type_, annotations, {})
    assert failure.value.reason is Reason.ACCESS_DENIED


def test_ordinary_secrets_pass() -> None:
    annotations = {"example.org/team": "a", "plain": "b", "app.kubernetes.io/part-of": "c"}
    templates.check("Opaque", annotations, {"a": "b"})
    templates.check("kubernetes.io/basic-auth", {}, {})
    with pytest.raises(DbopsError):
        templates.check("Opaque", {}, {"a": "x" * (templates.MAX_SOURCE + 1)})
