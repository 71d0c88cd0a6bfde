"""A recorded line is an input, field for field."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.inputs import KINDS, Input

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
maybe = st.one_of(st.none(), text)
lines = st.builds(
    Input,
    raw=text,
    ts=st.one_of(st.none(), st.integers(0, 2**63 - 1)),
    conn=maybe,
    kind=st.one_of(st.none(), st.sampled_from(sorted(KINDS)), text),
    url=maybe,
    enc=st.one_of(st.none(), st.just("b64")),
    note=maybe,
)


@pytest.mark.property
@given(lines)
def test_written_and_read_back_it_is_the_same(line: Input) -> None:
    assert msgspec.json.decode(msgspec.json.encode(line), type=Input) == line


def test_a_frame_is_written_without_what_it_does_not_have() -> None:
    assert msgspec.json.encode(Input("{}", 5, "market")) == b'{"raw":"{}","ts":5,"conn":"market"}'


def test_fields_of_a_later_format_do_not_hinder_reading() -> None:
    assert msgspec.json.decode(b'{"raw":"x","ts":1,"later":true}', type=Input) == Input("x", 1)


@pytest.mark.parametrize("line", [b"{}", b'{"raw":1}', b'{"raw":"x","ts":"now"}', b'{"raw":"x","ts":1.5}', b"[]"])
def test_a_line_without_its_text_or_with_a_time_that_is_none_is_not_an_input(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(line, type=Input)
