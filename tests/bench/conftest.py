"""The figures that `host bench` wrote last."""

import json
from pathlib import Path

import pytest

FIGURES = Path(__file__).parents[2] / "build" / "bench" / "pico.json"


@pytest.fixture(scope="session")
def figures() -> dict:
    if not FIGURES.exists():
        pytest.fail("no figures: `make bench` measures them first")
    return json.loads(FIGURES.read_text(encoding="utf-8"))
