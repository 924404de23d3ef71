"""What the tests of the kernels share."""

import pytest


@pytest.fixture(scope="session")
def qnn(tmp_path_factory):
    """native_modules/qnn under sanitizers."""
    from tests.kernels.qnn_runner import Runner, compile_runner

    runner = Runner(compile_runner(tmp_path_factory.mktemp("qnn")))
    yield runner
    runner.close()
