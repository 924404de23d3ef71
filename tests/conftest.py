"""What tests of every room share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def micropython() -> Path:
    """The unix simulator's program: MicroPython with the native modules and the device package."""
    from fieldtune.build import image
    from fieldtune.console import Console

    return image.build("unix", Console()).path
