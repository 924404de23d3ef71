"""The public mpremote, unchanged, on the emulated Pico and on the simulator."""

import hashlib
import os
import time

import pytest


@pytest.fixture(params=["pico", "simulator"])
def board(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def blob(tmp_path):
    """20 KB with every byte value: Ctrl-C, line ends and zeros among them."""
    path = tmp_path / "blob.bin"
    path.write_bytes(bytes(range(256)) * 72 + os.urandom(2048))
    return path


def test_exec_prints_the_result(board, mpremote):
    assert mpremote(board, "exec", "print(6 * 7)").strip() == "42"


def test_run_runs_a_local_file(board, mpremote, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("for i in range(3):\n    print('line', i)\n")
    assert mpremote(board, "run", str(script)).splitlines() == ["line 0", "line 1", "line 2"]


def test_a_file_copied_to_the_board_and_back_is_the_same(board, mpremote, blob, tmp_path):
    back = tmp_path / "back.bin"
    mpremote(board, "cp", str(blob), ":blob.bin")
    mpremote(board, "cp", ":blob.bin", str(back))
    assert back.read_bytes() == blob.read_bytes()
    mpremote(board, "rm", ":blob.bin")


def test_the_board_computes_the_files_hash(board, mpremote, blob):
    mpremote(board, "cp", str(blob), ":hashed.bin")
    expected = hashlib.sha256(blob.read_bytes()).hexdigest()
    assert expected in mpremote(board, "sha256sum", ":hashed.bin")
    mpremote(board, "rm", ":hashed.bin")


def test_a_removed_file_is_no_longer_listed(board, mpremote, blob):
    mpremote(board, "cp", str(blob), ":listed.bin")
    assert "listed.bin" in mpremote(board, "ls")
    mpremote(board, "rm", ":listed.bin")
    assert "listed.bin" not in mpremote(board, "ls")


def test_a_mounted_folder_is_imported_from(board, mpremote, tmp_path):
    (tmp_path / "mounted.py").write_text("print('from the host')\n")
    assert "from the host" in mpremote(board, "mount", str(tmp_path), "exec", "import mounted")


def test_a_soft_reset_forgets_names(board, mpremote):
    said = mpremote(board, "exec", "x = 1", "soft-reset", "exec", "print('x' in globals())")
    assert said.strip() == "False"


def test_a_reset_leaves_the_port_and_forgets_names(board, mpremote):
    mpremote(board, "resume", "exec", "x = 1")
    mpremote(board, "resume", "reset")
    time.sleep(0.5)  # it resets 100 ms after mpremote has left
    assert mpremote(board, "resume", "exec", "print('x' in globals())").strip() == "False"


def test_an_exception_is_the_boards_traceback(board, mpremote):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        mpremote(board, "exec", "1 / 0")
