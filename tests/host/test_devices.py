"""Finding the one board that is meant."""

from types import SimpleNamespace

import pytest
from serial.tools import list_ports

from fieldtune import boards, devices
from fieldtune.devices import BOOTSEL, EMULATED, REAL, RUNNING, Device
from fieldtune.emulate import record
from fieldtune.errors import AmbiguousDevice, NoDevice, UsageError

PICO = (0x2E8A, 0x0005)


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    """No ports, no drives, no emulated boards, until a test brings some."""
    world = SimpleNamespace(ports=[], emulated=[], mounts=tmp_path / "mounts")
    world.mounts.write_text("")
    monkeypatch.setattr(list_ports, "comports", lambda: world.ports)
    monkeypatch.setattr(devices.registry, "running", lambda: world.emulated)
    monkeypatch.setattr(devices, "MOUNTS", world.mounts)
    monkeypatch.setenv("FIELDTUNE_STATE", str(tmp_path))
    return world


def usb(device: str, ids=PICO, serial_number="E661"):
    return SimpleNamespace(device=device, vid=ids[0], pid=ids[1], serial_number=serial_number)


def emulated(name: str = "pico", board: str = "pico", state: str = RUNNING):
    return record.EmulatedBoard(name, board, "00" * 8, pid=1, started="1", state=state)


def test_a_pico_is_known_by_its_usb_ids(world):
    world.ports = [
        usb("/dev/ttyACM1"),
        usb("/dev/ttyUSB0", (0x0403, 0x6001)),
        usb("/dev/ttyS0", (None, None)),
    ]
    assert devices.all() == [Device("pico", REAL, "E661", RUNNING, "/dev/ttyACM1")]


def test_a_bootsel_drive_is_known_by_its_info_file(world, tmp_path):
    drive = tmp_path / "with blank"
    other = tmp_path / "stick"
    drive.mkdir()
    other.mkdir()
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\r\nBoard-ID: RPI-RP2\r\n")
    (other / "INFO_UF2.TXT").write_text("Board-ID: ANOTHER\r\n")
    world.mounts.write_text(
        f"/dev/sda1 {str(drive).replace(' ', chr(92) + '040')} vfat rw 0 0\n"
        f"/dev/sdb1 {other} vfat rw 0 0\n"
        "server:/x /x nfs rw 0 0\n"
    )
    assert devices.all() == [Device("pico", REAL, "with blank", BOOTSEL, drive=drive)]


def test_the_only_board_needs_no_description(world):
    world.ports = [usb("/dev/ttyACM0")]
    assert devices.find().port == "/dev/ttyACM0"


def test_two_boards_are_ambiguous_and_both_are_named(world):
    world.ports = [usb("/dev/ttyACM0")]
    world.emulated = [emulated()]
    with pytest.raises(AmbiguousDevice) as error:
        devices.find(board="pico")
    assert "/dev/ttyACM0" in error.value.why
    assert str(world.emulated[0].device) in error.value.why
    assert "--device" in error.value.do


def test_real_and_emulated_are_told_apart(world):
    world.ports = [usb("/dev/ttyACM0")]
    world.emulated = [emulated()]
    assert devices.find(emulated=True).kind == EMULATED
    assert devices.find(emulated=False).kind == REAL


def test_the_board_picks_among_kinds(world):
    world.emulated = [emulated(), emulated("sim", "unix")]
    assert devices.find(board="unix").name == "sim"


def test_a_port_picks_through_links(world, tmp_path):
    port = tmp_path / "emulators" / "pico" / "port"
    port.parent.mkdir(parents=True)
    target = tmp_path / "pts"
    target.touch()
    port.symlink_to(target)
    world.emulated = [emulated(), emulated("other")]
    assert devices.find(port=str(target)).name == "pico"


def test_an_existing_port_that_nobody_lists_is_taken_at_its_word(tmp_path):
    port = tmp_path / "serial"
    port.touch()
    assert devices.find(board="pico", port=str(port)) == Device(
        "pico", REAL, "", RUNNING, str(port)
    )


def test_no_board_says_how_to_get_one():
    with pytest.raises(NoDevice) as error:
        devices.find()
    assert "host emulate --board pico" in error.value.do
    with pytest.raises(NoDevice, match="no emulated unix"):
        devices.find(board="unix", emulated=True)


def test_a_port_that_does_not_exist_is_no_device():
    with pytest.raises(NoDevice, match="no board at /dev/nothing"):
        devices.find(port="/dev/nothing")


def test_an_unknown_kind_of_board_is_a_mistake_not_an_absence():
    with pytest.raises(UsageError, match="no such board"):
        devices.find(board="nothing")


def test_a_board_in_bootsel_has_its_drive(world):
    world.emulated = [emulated(state=BOOTSEL)]
    assert devices.find().drive == world.emulated[0].drive


def test_control_characters_in_a_serial_number_are_not_shown(world):
    world.ports = [usb("/dev/ttyACM0", serial_number="\x1b[2J")]
    assert "\x1b" not in devices.describe(devices.find())


def test_boards_without_usb_drive_have_none():
    assert devices.drives(boards.load("unix")) == []
