"""Frames arrive whole, however the stream cuts them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media_enricher.engine.messages import Assignment, FrameReader, decode_assignments, frame
from media_enricher.models import Depth, StorageObject

objects = st.builds(
    StorageObject,
    bucket=st.text(max_size=5),
    path=st.text(max_size=20),
    etag=st.none() | st.text(max_size=5),
    size_bytes=st.none() | st.integers(0, 2**50),
    attempts=st.integers(0, 5),
)
assignments = st.lists(
    st.builds(Assignment, st.integers(1, 2**60), st.sampled_from(Depth), objects), max_size=3
)


@given(st.lists(assignments, max_size=5), st.integers(1, 50))
def test_frames_survive_any_cutting(messages: list[list[Assignment]], piece: int) -> None:
    stream = b"".join(frame(message) for message in messages)
    reader = FrameReader()
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    bodies = [body for data in pieces for body in reader.feed(data)]
    assert [decode_assignments(body) for body in bodies] == messages
