"""What the tests of the kernels share."""

import pytest


@pytest.fixture(scope="session", params=["REF", "M0PLUS"])
def qnn(tmp_path_factory, request):
    """native_modules/qnn under sanitizers, with the kernels of each core."""
    from tests.kernels.qnn_runner import Runner, compile_runner

    runner = Runner(compile_runner(tmp_path_factory.mktemp("qnn"), request.param))
    yield runner
    runner.close()
