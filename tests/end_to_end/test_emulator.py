"""Emulated boards: processes of their own, with a port that stays and a flash that survives."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import zlib

import pytest
import serial

from fieldtune.emulate import process, record, registry
from fieldtune.errors import UsageError
from fieldtune.link.repl import Repl


@pytest.fixture
def second(state, pico_image):
    """A Pico that a test may kill."""
    board = registry.start("pico", "second", image=pico_image)
    yield board
    registry.stop(record.load("second"))


def children(pid: int) -> list[int]:
    listed = open(f"/proc/{pid}/task/{pid}/children").read()
    return [int(number) for number in listed.split()]


def cpu_seconds(pid: int) -> float:
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(true, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def read_until(fd: int, ending: bytes, seconds: float = 5.0) -> bytes:
    """What comes from a non-blocking descriptor, up to `ending` or the end of the time."""
    said = b""
    end = time.monotonic() + seconds
    while not said.endswith(ending) and time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            said += os.read(fd, 1000)
    return said


def test_starting_a_board_that_runs_returns_it(pico):
    assert registry.start("pico").pid == pico.pid


def test_the_record_and_its_folder_are_private(pico):
    assert pico.folder.stat().st_mode & 0o777 == 0o700
    assert (pico.folder / "board.json").stat().st_mode & 0o777 == 0o600


def test_a_name_belongs_to_one_kind_of_board(pico):
    with pytest.raises(UsageError, match="pico is the name of an emulated pico"):
        registry.start("unix", "pico")


def test_a_name_cannot_leave_the_state_folder(state):
    with pytest.raises(UsageError, match="not a name"):
        registry.start("pico", "../elsewhere")


def test_two_starts_at_once_give_one_board(state, pico_image):
    code = (
        "from pathlib import Path\n"
        "from fieldtune.emulate import registry\n"
        f"print(registry.start('pico', 'race', image=Path({str(pico_image)!r})).pid)\n"
    )
    command = [sys.executable, "-c", code]
    starts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (int(start.communicate(timeout=30)[0]) for start in starts)
    registry.stop(record.load("race"))
    assert first == second


def test_files_survive_a_stop(second):
    with Repl(str(second.device)) as repl:
        repl.exec("f = open('kept.txt', 'w'); f.write('still here'); f.close()")
    registry.stop(second)
    again = registry.start("pico", "second")
    with Repl(str(again.device)) as repl:
        assert repl.exec("print(open('kept.txt').read())") == "still here\n"


def test_files_survive_a_kill(second):
    with Repl(str(second.device)) as repl:
        repl.exec("f = open('kept.txt', 'w'); f.write('written'); f.close()")
    os.kill(second.pid, signal.SIGKILL)
    assert wait_until(lambda: not second.alive)
    again = registry.start("pico", "second")
    with Repl(str(again.device)) as repl:
        assert repl.exec("print(open('kept.txt').read())") == "written\n"


def test_a_fresh_board_has_no_files(second, pico_image):
    with Repl(str(second.device)) as repl:
        repl.exec("open('old.txt', 'w').close()")
    fresh = registry.start("pico", "second", fresh=True, image=pico_image)
    with Repl(str(fresh.device)) as repl:
        assert repl.exec("import os; print(os.listdir())") == "[]\n"


def test_two_boards_are_two_boards(pico, second):
    with Repl(str(pico.device)) as one, Repl(str(second.device)) as other:
        one.exec("x = 'one'")
        other.exec("x = 'other'")
        assert (one.exec("print(x)"), other.exec("print(x)")) == ("one\n", "other\n")
        identity = "import machine; print(machine.unique_id().hex())"
        assert one.exec(identity).strip() == pico.serial
        assert other.exec(identity).strip() == second.serial


def test_a_killed_keeper_takes_its_chip_with_it_and_blocks_nobody(second):
    (chip,) = children(second.pid)
    with serial.Serial(str(second.device), timeout=5) as port:
        os.kill(second.pid, signal.SIGKILL)
        with pytest.raises(serial.SerialException):
            port.read(1)
    assert wait_until(lambda: process.start_time(chip) is None)
    with pytest.raises(serial.SerialException):
        serial.Serial(str(second.device))
    assert "second" not in [board.name for board in registry.running()]
    with Repl(str(registry.start("pico", "second").device)) as repl:
        assert repl.exec("print(1)") == "1\n"


def test_a_killed_chip_ends_its_board(second):
    (chip,) = children(second.pid)
    os.kill(chip, signal.SIGKILL)
    assert wait_until(lambda: not second.alive)
    assert not second.device.is_symlink()


def test_a_stale_record_never_leads_to_killing_something_else(second):
    registry.stop(second)
    with subprocess.Popen(["sleep", "60"]) as bystander:
        stale = record.load("second")
        stale.pid, stale.started = bystander.pid, "1"  # same pid, started at another time
        stale.save()
        assert not record.load("second").alive
        registry.stop(record.load("second"))
        assert registry.start("pico", "second").pid != bystander.pid
        assert bystander.poll() is None
        bystander.kill()


def test_an_open_port_survives_a_reset(pico):
    with serial.Serial(str(pico.device), timeout=10) as port:
        port.write(b"\r\x03\x02import machine; machine.reset()\r")
        # The banner of the second start comes out of the port opened before it.
        assert b"MicroPython v1.25.0" in port.read_until(b'Type "help()"')


def test_reset_cause_tells_a_reset_from_power_on(second):
    ask = "import machine; print(machine.reset_cause() == machine.{})"
    with Repl(str(second.device)) as repl:
        assert repl.exec(ask.format("PWRON_RESET")) == "True\n"
        repl.exec_no_follow("machine.reset()")
    with Repl(str(second.device)) as repl:
        assert repl.exec(ask.format("WDT_RESET")) == "True\n"


def test_a_program_that_sets_no_terminal_mode_sees_a_raw_line(pico):
    with Repl(str(pico.device)):
        pass  # leaves the friendly prompt
    fd = os.open(pico.device, os.O_RDWR | os.O_NOCTTY)
    try:
        os.set_blocking(fd, False)
        os.write(fd, b"print(b'\\n')\r")
        # The echo and the answer, with no line end translated and nothing echoed twice.
        assert b"print(b'\\n')\r\nb'\\n'\r\n>>> " in read_until(fd, b"'\r\n>>> ")
    finally:
        os.close(fd)


COUNT_INPUT = """
import binascii, micropython, sys
micropython.kbd_intr(-1)
buffer = bytearray(1024)
crc = 0
print('ready')
for _ in range({}):
    sys.stdin.buffer.readinto(buffer)
    crc = binascii.crc32(buffer, crc)
micropython.kbd_intr(3)
print(crc)
"""


@pytest.mark.parametrize("kind", ["pico", "simulator"])
def test_no_byte_is_lost_on_the_way_to_the_board(kind, request):
    data = os.urandom(64 * 1024)  # more than every buffer on the way together
    with Repl(str(request.getfixturevalue(kind).device)) as repl:
        repl.exec_no_follow(COUNT_INPUT.format(len(data) // 1024))
        assert repl.serial.read_until(b"ready\r\n").endswith(b"ready\r\n")
        repl.serial.write(data)
        assert int(repl.follow(30)) == zlib.crc32(data)


def test_no_byte_is_lost_on_the_way_from_the_board_to_a_slow_reader(pico):
    lines = 4000
    with Repl(str(pico.device)) as repl:
        repl.exec_no_follow(f"for i in range({lines}): print('%07d' % i)")
        said = b""
        end = time.monotonic() + 30
        while not said.endswith(b"\x04>") and time.monotonic() < end:
            # Well under the 500 ms after which a board gives up on a host that does not read.
            time.sleep(0.05)
            said += repl.serial.read(repl.serial.in_waiting)
    expected = b"".join(b"%07d\r\n" % i for i in range(lines))
    assert said == expected + b"\x04\x04>"


@pytest.mark.parametrize("kind", ["pico", "simulator"])
def test_control_c_interrupts_running_code(kind, request):
    with Repl(str(request.getfixturevalue(kind).device)) as repl:
        repl.exec_no_follow("try:\n while True: pass\nexcept KeyboardInterrupt: print('stopped')")
        time.sleep(0.1)
        repl.interrupt()
        assert repl.follow(5) == "stopped\n"


def test_output_while_nobody_listens_does_not_hold_up_the_board(pico):
    with Repl(str(pico.device)) as repl:
        repl.exec_no_follow("for i in range(2000): print(i)\nopen('done', 'w').close()")
    time.sleep(1.0)
    with Repl(str(pico.device)) as repl:
        assert repl.exec("import os; print('done' in os.listdir()); os.remove('done')") == "True\n"


def test_an_idle_board_uses_close_to_no_cpu(pico):
    with Repl(str(pico.device)) as repl:
        repl.exec("1")
    time.sleep(0.5)
    pids = [pico.pid, *children(pico.pid)]
    before = sum(map(cpu_seconds, pids))
    time.sleep(2.0)
    assert sum(map(cpu_seconds, pids)) - before < 0.06  # 3 % of a core


def test_sleep_lasts_as_long_as_on_the_wall(pico):
    with Repl(str(pico.device)) as repl:
        start = time.monotonic()
        repl.exec("import time; time.sleep_ms(500)")
        assert 0.5 <= time.monotonic() - start < 1.5


def test_the_command_starts_lists_and_stops(state, host):
    started = json.loads(host("emulate", "--board", "pico", "--name", "third", "--json").stdout)
    assert started["board"] == "pico"
    assert os.path.exists(started["device"])
    listed = json.loads(host("emulate", "--list", "--json").stdout)
    assert started["pid"] in [board["pid"] for board in listed]
    stopped = host("emulate", "--stop", "third", "--json")
    assert json.loads(stopped.stdout) == {"stopped": ["third"]}
    assert process.start_time(started["pid"]) is None
    assert host("emulate", "--stop", "third").returncode == 3
