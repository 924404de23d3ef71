"""Emulated boards for the tests: their own state folder, images built or taken from the cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldtune import boards
from fieldtune.build import image
from fieldtune.console import Console
from fieldtune.emulate import registry


@pytest.fixture(scope="session")
def state(tmp_path_factory) -> Path:
    """FIELDTUNE_STATE of this session; every board in it is stopped at the end."""
    folder = tmp_path_factory.mktemp("state")
    before = os.environ.get("FIELDTUNE_STATE")
    os.environ["FIELDTUNE_STATE"] = str(folder)
    yield folder
    for board in registry.running():
        registry.stop(board)
    if before is None:
        del os.environ["FIELDTUNE_STATE"]
    else:
        os.environ["FIELDTUNE_STATE"] = before


@pytest.fixture(scope="session")
def pico_image() -> Path:
    """The Pico's UF2 image of the present sources."""
    return image.build(boards.load("pico"), Console()).path


@pytest.fixture(scope="session")
def unix_image() -> Path:
    """The unix simulator of the present sources."""
    return image.build(boards.load("unix"), Console()).path


@pytest.fixture(scope="session")
def running_pico(state, pico_image):
    return registry.start("pico", image=pico_image)


@pytest.fixture
def pico(running_pico):
    """An emulated Pico that runs; started again with its flash if a test stopped it."""
    return registry.start("pico")


@pytest.fixture(scope="session")
def running_simulator(state, unix_image):
    return registry.start("unix", image=unix_image)


@pytest.fixture
def simulator(running_simulator):
    """The unix simulator behind its pty."""
    return registry.start("unix")


@pytest.fixture(scope="session")
def mpremote():
    """Calls the public mpremote on a board: mpremote(board, "ls") -> what it printed."""

    def call(board, *arguments: str, timeout: float = 60.0) -> str:
        command = [sys.executable, "-m", "mpremote", "connect", str(board.device), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.fixture(scope="session")
def host():
    """Calls the command line: host("devs") -> subprocess.CompletedProcess."""

    def call(*arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "fieldtune", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)

    return call
