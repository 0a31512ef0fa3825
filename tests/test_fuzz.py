"""Hostile bodies, a few thousand of them; `make fuzz` tries as many as one likes, led by what the parser does."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.lead import Lead
from tests.fuzz.property import hold
from tests.fuzz.seeds import LEAD, PERSON, TYPES, seeds, words

SEEDS = seeds()
SHORT = settings(max_examples=300, deadline=None)
kinds = st.sampled_from(TYPES) | st.text(max_size=60)
pieces = st.sampled_from(
    [*map(str.encode, words()), b"{", b"}", b"[", b'"', b"\\u", b"&", b"=", b"%", b"\x00", b"\xff"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(words()), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(("kind", "body"), SEEDS)
def test_what_fuzzing_begins_with_keeps_every_promise(kind, body):
    hold(body, TYPES[kind])


def test_there_is_a_lead_and_a_rejection_among_what_fuzzing_begins_with():
    found = [hold(body, TYPES[kind]) for kind, body in SEEDS]
    assert {isinstance(one, Lead) for one in found} == {True, False}
    assert {one.status for one in found if not isinstance(one, Lead)} == {400, 422}


@SHORT
@given(st.binary(max_size=2000), kinds)
def test_any_bytes_are_a_lead_or_a_rejection(body, kind):
    hold(body, kind)


@SHORT
@given(st.lists(pieces | st.binary(max_size=8), max_size=60).map(b"".join), kinds)
def test_any_bytes_made_of_what_leads_are_made_of_are_too(body, kind):
    hold(body, kind)


@SHORT
@given(st.sampled_from(SEEDS), st.integers(0, 2000), st.integers(0, 40), st.binary(max_size=40))
def test_a_known_body_with_a_hole_in_it_is_too(seed, start, length, filling):
    kind, body = seed
    hold(body[:start] + filling + body[start + length :], TYPES[kind])


@SHORT
@given(st.dictionaries(st.sampled_from([*LEAD, *PERSON, "userDetails"]) | st.text(), values, max_size=8))
def test_any_document_is_too(document):
    hold(json.dumps(document).encode(), "application/json")


@SHORT
@given(st.builds(Lead, **{name: st.none() | st.text(min_size=1) for name in ("first_name", "email", "description")}))
def test_a_lead_goes_into_its_normal_form_and_comes_back_the_same(lead):
    assert Lead.from_dict(json.loads(json.dumps(lead.as_dict()))) == lead
