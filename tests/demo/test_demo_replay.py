"""The demo server gives every recorded response of the real server: one test each, by name."""

from __future__ import annotations

from functools import cache

import pytest
from replay import NOT_SERVED, OPTIONS, WIRE, replay, scenarios

NAMES = sorted(path.stem for path in WIRE.glob("*.json"))
CASES = [
    pytest.param(name, prefix, entry["name"], id=f"{prefix or '/'} {name}: {entry['name']}")
    for name in NAMES
    for prefix in ("", "/auth/v1")
    for entry in scenarios(name)
    if (name, entry["name"]) not in NOT_SERVED
]
results = cache(replay)


@pytest.mark.parametrize(("name", "prefix", "scenario"), CASES)
def test_answers_as_recorded(name: str, prefix: str, scenario: str) -> None:
    assert results(name, prefix)[scenario] == []


def test_no_recording_is_left_out() -> None:
    assert set(OPTIONS) == set(NAMES)
    recorded = {(name, entry["name"]) for name in NAMES for entry in scenarios(name)}
    assert NOT_SERVED.keys() <= recorded
    assert len(CASES) == 2 * (len(recorded) - len(NOT_SERVED))
    for name in NAMES:
        assert len({entry["name"] for entry in scenarios(name)}) == len(scenarios(name)), "names are unique"
