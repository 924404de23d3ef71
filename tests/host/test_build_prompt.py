"""boards/unix/prompt.c: the simulator's prompt does on a terminal what a board's does on USB."""

import os
import pty
import select
import subprocess
import time
import tty

import pytest

from fieldtune.build import image
from fieldtune.console import Console


class Prompt:
    """The simulator on a raw terminal, started as the emulator does it."""

    def __init__(self, program, folder):
        self.terminal, slave = pty.openpty()
        tty.setraw(slave)
        self.process = subprocess.Popen(
            [program, "-X", "heapsize=1M", "-m", "rawrepl"],
            stdin=slave,
            stdout=slave,
            start_new_session=True,
            cwd=folder,
        )
        os.close(slave)
        self.received = b""

    def send(self, data):
        os.write(self.terminal, data)

    def until(self, end, seconds=10):
        """What comes up to and with `end`."""
        limit = time.monotonic() + seconds
        while end not in self.received:
            ready, _, _ = select.select([self.terminal], [], [], limit - time.monotonic())
            assert ready, f"{end!r} did not come, only {self.received!r}"
            self.received += os.read(self.terminal, 4096)
        before, _, self.received = self.received.partition(end)
        return before + end

    def raw(self):
        self.until(b">>> ")
        self.send(b"\x01")
        assert self.until(b">").endswith(b"raw REPL; CTRL-B to exit\r\n>")

    def run(self, code):
        self.send(code.encode() + b"\x04")
        return self.until(b"\x04>")


@pytest.fixture(scope="module")
def program():
    return image.build("unix", Console()).path


@pytest.fixture
def prompt(program, tmp_path):
    running = Prompt(program, tmp_path)
    yield running
    running.process.kill()
    running.process.wait()
    os.close(running.terminal)


def test_the_friendly_prompt_echoes_and_evaluates(prompt):
    assert b"fieldtune unix simulator\r\n" in prompt.until(b">>> ")
    prompt.send(b"6*7\r")
    assert prompt.until(b">>> ") == b"6*7\r\n42\r\n>>> "


def test_the_raw_prompt_separates_output_and_error(prompt):
    prompt.raw()
    assert prompt.run("print(1)") == b"OK1\r\n\x04\x04>"
    failed = prompt.run("1/0")
    assert failed.startswith(b"OK\x04Traceback") and b"ZeroDivisionError" in failed


def test_floats_are_single_precision_as_on_the_boards(prompt):
    prompt.raw()
    assert prompt.run("print(1 + 1e-7 == 1, 1 + 1e-8 == 1)") == b"OKFalse True\r\n\x04\x04>"


def test_text_gets_carriage_returns_and_bytes_do_not(prompt):
    prompt.raw()
    sent = prompt.run(r"import sys; print('a\nb'); n = sys.stdout.buffer.write(bytes(range(14)))")
    assert sent == b"OKa\r\nb\r\n" + bytes(range(14)) + b"\x04\x04>"


@pytest.mark.parametrize(
    "busy",
    ["while True: pass", "import time; time.sleep(60)", "import sys; sys.stdin.buffer.read(5)"],
)
def test_ctrl_c_interrupts_what_runs(prompt, busy):
    prompt.raw()
    prompt.send(f"print('on')\n{busy}\x04".encode())
    prompt.until(b"on\r\n")
    time.sleep(0.1)  # let it reach the loop, the sleep, the read
    prompt.send(b"\x03")
    assert b"KeyboardInterrupt" in prompt.until(b"\x04>")
    assert prompt.run("print(2)") == b"OK2\r\n\x04\x04>"


def test_ctrl_c_twice_is_no_more_than_once(prompt):
    prompt.raw()
    prompt.send(b"print('on')\nwhile True: pass\x04")
    prompt.until(b"on\r\n")
    prompt.send(b"\x03\x03\x03")
    prompt.until(b"\x04>")
    assert prompt.run("print(2)").endswith(b"2\r\n\x04\x04>")


def test_with_kbd_intr_off_every_byte_is_data(prompt):
    prompt.raw()
    code = (
        "import micropython, sys\nmicropython.kbd_intr(-1)\nprint('on')\n"
        "print(sys.stdin.buffer.read(256) == bytes(range(256)))"
    )
    prompt.send(code.encode() + b"\x04")
    prompt.until(b"on\r\n")
    prompt.send(bytes(range(256)))
    assert prompt.until(b"\x04>") == b"True\r\n\x04\x04>"


def test_stdin_is_not_buffered_behind_pythons_back(prompt):
    prompt.raw()
    code = "import sys\nprint('on')\nprint(sys.stdin.buffer.read(2))"
    prompt.send(code.encode() + b"\x04")
    prompt.until(b"on\r\n")
    prompt.send(b"abprint(3)\x04")
    assert prompt.until(b"\x04>") == b"b'ab'\r\n\x04\x04>"
    assert prompt.until(b"\x04>") == b"OK3\r\n\x04\x04>"


def test_a_soft_reset_forgets_everything_and_stays_raw(prompt):
    prompt.raw()
    prompt.run("x = 1")
    prompt.send(b"\x04")
    assert prompt.until(b">") == b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"
    assert prompt.run("print('x' in globals())") == b"OKFalse\r\n\x04\x04>"
    assert prompt.process.poll() is None


def test_machine_reset_comes_back_with_the_friendly_prompt(prompt):
    prompt.raw()
    prompt.send(b"import machine; machine.reset()\x04")
    assert prompt.until(b">>> ").startswith(b"OKMicroPython v1.25.0")


def test_boot_and_main_run_as_on_a_board(program, tmp_path):
    (tmp_path / "boot.py").write_text("print('boot')")
    (tmp_path / "main.py").write_text("print('main')")
    prompt = Prompt(program, tmp_path)
    try:
        assert prompt.until(b">>> ").startswith(b"boot\r\nmain\r\nMicroPython")
    finally:
        prompt.process.kill()
        prompt.process.wait()
        os.close(prompt.terminal)


def test_the_prompt_ends_with_its_terminal(program, tmp_path):
    prompt = Prompt(program, tmp_path)
    prompt.until(b">>> ")
    os.close(prompt.terminal)
    prompt.process.wait(10)
