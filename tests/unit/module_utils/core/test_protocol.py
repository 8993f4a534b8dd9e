# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of standby runs: messages survive any splitting of the stream, anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.protocol import Decoder, ProtocolError, encode

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_MESSAGES = st.dictionaries(st.text(), _VALUES, max_size=4).map(lambda content: {**content, "type": "object"})


@given(st.lists(_MESSAGES, max_size=4), st.integers(1, 7))
def test_messages_survive_any_splitting(messages: list[dict[str, object]], size: int) -> None:
    stream = b"".join(encode(message) for message in messages)
    decoder = Decoder()
    received = []
    for start in range(0, len(stream), size):
        received += list(decoder.feed(stream[start : start + size]))
    assert received == messages
    assert not decoder.pending


def test_an_unfinished_message_is_pending() -> None:
    decoder = Decoder()
    assert list(decoder.feed(encode({"type": "work"})[:-1])) == []
    assert decoder.pending


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x0b{'type':'x'}",
        b"\x00\x00\x00\x02\xff\xff",
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_anything_else_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Decoder().feed(frame))


def test_the_frame_is_a_length_and_json() -> None:
    assert encode({"type": "é"}) == b'\x00\x00\x00\x0d{"type":"\xc3\xa9"}'
