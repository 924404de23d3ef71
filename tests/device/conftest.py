"""How tests run code on the unix simulator."""

import subprocess

import pytest


@pytest.fixture
def board(micropython, tmp_path):
    """Runs code in tmp_path: board(code) -> what it printed. `heap` as MicroPython takes it."""

    def run(code: str, heap: str = "8M") -> str:
        command = [micropython, "-X", f"heapsize={heap}", "-c", code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


TRY = """
try:
{body}
except Exception as error:
    print(type(error).__name__ + ": " + str(error))
else:
    print("accepted")
print(6 * 7)
"""


@pytest.fixture
def verdict(board):
    """Runs code -> "accepted", or the exception and its text; then the board must still answer."""

    def run(code: str, **settings) -> str:
        body = "\n".join(f"    {line}" for line in code.strip().splitlines())
        *_said, result, answer = board(TRY.format(body=body), **settings).splitlines()
        assert answer == "42"
        return result

    return run
