"""What the tests of the kernels share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the oracle, the runner and their operands


@pytest.fixture(scope="session")
def qnn(tmp_path_factory):
    """native_modules/qnn under sanitizers."""
    from qnn_runner import Runner, compile_runner

    runner = Runner(compile_runner(tmp_path_factory.mktemp("qnn")))
    yield runner
    runner.close()
