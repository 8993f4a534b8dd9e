# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's end of a standby run's socket, held against the collection's end."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import protocol as theirs
from dbops_operator.run import protocol as ours

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_MESSAGES = st.dictionaries(st.text(), _VALUES, max_size=4).map(lambda content: {**content, "type": "work"})


def read_all(stream: bytes) -> list[dict[str, object]]:
    async def read() -> list[dict[str, object]]:
        reader = asyncio.StreamReader()
        reader.feed_data(stream)
        reader.feed_eof()
        messages = []
        while (message := await ours.read(reader)) is not None:
            messages.append(message)
        return messages

    return asyncio.run(read())


def test_both_ends_speak_the_same_version_within_the_same_bounds() -> None:
    assert (ours.VERSION, ours.MAX_BYTES) == (theirs.VERSION, theirs.MAX_BYTES)


@given(_MESSAGES)
def test_both_ends_make_the_same_frames(message: dict[str, object]) -> None:
    assert ours.encode(message) == theirs.encode(message)


@given(st.lists(_MESSAGES, max_size=3))
def test_the_operator_reads_what_the_collection_sends(messages: list[dict[str, object]]) -> None:
    assert read_all(b"".join(theirs.encode(message) for message in messages)) == messages


def test_a_peer_that_leaves_in_the_middle_of_a_message_is_gone() -> None:
    assert read_all(theirs.encode({"type": "done"}) + theirs.encode({"type": "done"})[:-1]) == [{"type": "done"}]


@pytest.mark.parametrize(
    "frame",
    [b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x02\xff\xff", b"\xff\xff\xff\xff", b"GET / HTTP/1.1"],
)
def test_anything_else_is_refused(frame: bytes) -> None:
    with pytest.raises(ours.ProtocolError):
        read_all(frame)


def test_a_message_that_the_other_end_would_refuse_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "MAX_BYTES", 100)
    with pytest.raises(ours.ProtocolError, match="too long"):
        ours.encode({"type": "work", "requests": ["x" * 100]})
