"""host run and host repl, on both emulated boards."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from fieldtune.console import Console
from fieldtune.emulate import registry


@pytest.fixture(scope="module", params=["unix", "pico"])
def board(request, tmp_path_factory):
    """An emulated board, the only one present."""
    state = os.environ.get("FIELDTUNE_STATE")
    os.environ["FIELDTUNE_STATE"] = str(tmp_path_factory.mktemp("state"))
    emulated = registry.start(request.param, console=Console())
    yield emulated
    registry.stop(emulated)
    if state is None:
        del os.environ["FIELDTUNE_STATE"]
    else:
        os.environ["FIELDTUNE_STATE"] = state


@pytest.fixture
def script(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "script.py"
        path.write_text(text)
        return str(path)

    return write


def command(*argv: str) -> list[str]:
    return [sys.executable, "-m", "fieldtune", *argv]


def host(*argv: str, **settings) -> subprocess.CompletedProcess:
    settings = {"capture_output": True, "timeout": 60, **settings}
    return subprocess.run(command(*argv), **settings)


def test_output_is_the_scripts_and_exit_code_zero(board, script):
    result = host("run", script("print('hello')\nprint(6 * 7)"))
    assert (result.returncode, result.stdout) == (0, b"hello\r\n42\r\n")


def test_arguments_after_the_file_are_the_scripts(board, script):
    path = script("import sys\nprint(sys.argv[1:])")
    assert host("run", path, "--json", "a b").stdout == b"['--json', 'a b']\r\n"


def test_script_starts_on_a_fresh_interpreter(board, script):
    host("run", script("left_behind = 1"))
    result = host("run", script("print('left_behind' in globals())"))
    assert result.stdout == b"False\r\n"


def test_script_comes_from_standard_input_too(board):
    assert host("run", "-", input=b"print(1)").stdout == b"1\r\n"


def test_json_is_one_document_with_the_output(board, script):
    result = host("run", "--json", script("print('hello')"))
    assert json.loads(result.stdout) == {
        "device": str(board.device),
        "output": "hello\n",
        "exit_code": 0,
    }


def test_script_that_raises_ends_with_seven_and_the_boards_traceback(board, script):
    result = host("run", script("print('before')\nint('x')"))
    assert (result.returncode, result.stdout) == (7, b"before\r\n")
    assert b'File "<stdin>", line 2' in result.stderr
    assert b"ValueError" in result.stderr


def test_script_that_exits_leaves_a_board_that_answers(board, script):
    assert host("run", script("import sys\nsys.exit()")).returncode == 0
    assert host("run", script("print(1)")).stdout == b"1\r\n"


def test_silent_script_is_bounded_by_the_timeout(board, script):
    result = host("run", "--timeout", "1", script("while True: pass"))
    assert result.returncode == 5
    assert host("run", script("print(1)")).stdout == b"1\r\n"


def test_ctrl_c_stops_the_script_on_the_board_within_a_second(board, script):
    path = script("print('go')\ntry:\n    while True: pass\nfinally: print('cleaned')")
    running = subprocess.Popen(command("run", path), stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"go\r\n"
    start = time.monotonic()
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=10)
    assert time.monotonic() - start < 1
    assert (running.returncode, output) == (130, b"cleaned\r\n")
    assert host("run", script("print(1)")).stdout == b"1\r\n"


@pytest.mark.parametrize("content", [None, b"print('\xff')"])
def test_file_that_is_no_script_is_a_usage_error(content, tmp_path):
    path = tmp_path / "script.py"
    if content:
        path.write_bytes(content)
    assert host("run", str(path)).returncode == 2


def test_repl_without_a_terminal_is_a_usage_error():
    result = host("repl", stdin=subprocess.DEVNULL)
    assert result.returncode == 2
    assert b"host run FILE" in result.stderr


def test_repl_is_the_boards_prompt_until_ctrl_x(board):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, command("repl", "--device", str(board.device)))
    seen = b""

    def wait_for(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            assert select.select([terminal], [], [], 10)[0], seen
            seen += os.read(terminal, 1024)

    wait_for(b"Ctrl-X leaves")
    wait_for(b"Use Ctrl-]")
    # mpremote says so before it has made the terminal raw: what is typed until then is lost.
    deadline = time.monotonic() + 10
    while b">>> " not in seen and time.monotonic() < deadline:
        os.write(terminal, b"\r")
        if select.select([terminal], [], [], 0.5)[0]:
            seen += os.read(terminal, 1024)
    wait_for(b">>> ")
    os.write(terminal, b"6 * 7\r")
    wait_for(b"\n42")
    os.write(terminal, b"\x18")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
