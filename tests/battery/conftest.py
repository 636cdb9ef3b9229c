"""Every codec in turn: with small models and, in slow tests, with the bundled ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from battery.cases import BUNDLED, SMALL, Case


@pytest.fixture(
    scope="session",
    params=[*SMALL, *(pytest.param(case, marks=pytest.mark.slow) for case in BUNDLED)],
    ids=lambda case: case.name,
)
def case(request: pytest.FixtureRequest) -> Case:
    """A codec whose models are files."""
    found: Case = request.param
    models = {option: request.getfixturevalue(name) for option, name in found.models.items()}
    return replace(found, models=models)
