"""Whole messages off a pipe, however it is cut, and no waiting for a half one."""

from __future__ import annotations

import os
import struct
from multiprocessing import Pipe

from hypothesis import given
from hypothesis import strategies as st

from workers.frames import FrameReader


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_messages_come_out_whole_however_they_are_cut(messages: list[bytes], data: st.DataObject) -> None:
    """Cut anywhere, a stream of messages comes out as they were sent, in their order; a part of one is held."""
    stream = b"".join(struct.pack("!i", len(message)) + message for message in messages)
    cut = data.draw(st.integers(0, len(stream)))
    ours, theirs = Pipe(duplex=False)
    with ours, theirs:
        reader = FrameReader(ours)
        heard = []
        for part in (stream[:cut], stream[cut:]):
            os.write(theirs.fileno(), part)
            heard += reader.drain()
        assert heard == messages


def test_what_a_connection_sends_is_understood() -> None:
    """The framing is that of `Connection.send_bytes`, also for a message larger than one read."""
    ours, theirs = Pipe()
    with ours, theirs:
        sent = [b"", b"a", os.urandom(150_000)]
        for message in sent:
            theirs.send_bytes(message)
        assert FrameReader(ours).drain() == sent


def test_half_a_message_is_not_waited_for() -> None:
    """A writer killed in the middle of a message leaves the reader free; at the end the half is dropped."""
    ours, theirs = Pipe()
    with ours:
        reader = FrameReader(ours)
        os.write(theirs.fileno(), struct.pack("!i", 3) + b"one" + struct.pack("!i", 100) + b"half")
        assert reader.drain() == [b"one"]
        assert not reader.ended
        theirs.close()
        assert reader.drain() == []
        assert reader.ended
