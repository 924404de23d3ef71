"""Flashing an emulated board: the steps of a real one, and what is refused before the first."""

import json
import shutil
import time
import zlib

import pytest

from fieldtune import boards, devices, uf2
from fieldtune.console import Console
from fieldtune.emulate import record, registry
from fieldtune.errors import UsageError, VerificationFailed
from fieldtune.flash import flash as flashing
from fieldtune.flash import verify
from fieldtune.link.repl import Repl


@pytest.fixture
def device(pico):
    return devices.find("pico", str(pico.device))


def into_bootsel(board) -> None:
    with Repl(str(board.device)) as repl:
        repl.exec_no_follow("import machine; machine.bootloader()")
    end = time.monotonic() + 5
    while record.load(board.name).state != record.BOOTSEL and time.monotonic() < end:
        time.sleep(0.02)
    assert record.load(board.name).state == record.BOOTSEL


def wait_until_running(board) -> None:
    end = time.monotonic() + 5
    while record.load(board.name).state != record.RUNNING and time.monotonic() < end:
        time.sleep(0.02)
    assert record.load(board.name).state == record.RUNNING


def test_the_board_confirms_build_id_and_crc(device, pico_image):
    done = flashing.flash(device, pico_image, Console())
    facts = json.loads(pico_image.with_name("image.json").read_text())
    assert done.build_id == facts["build_id"]
    assert done.crc32 == zlib.crc32(uf2.load(pico_image, boards.load("pico")).data)
    assert done.port == device.port


def test_files_survive_flashing(device, pico_image):
    with Repl(device.port) as repl:
        repl.exec("open('kept.txt', 'w').close()")
    flashing.flash(device, pico_image, Console())
    with Repl(device.port) as repl:
        assert repl.exec("import os; print('kept.txt' in os.listdir())") == "True\n"


def test_a_board_in_bootsel_is_flashed_as_it_is(pico, pico_image):
    into_bootsel(pico)
    waiting = devices.find("pico", str(pico.device))
    assert (waiting.state, waiting.drive) == (devices.BOOTSEL, pico.drive)
    assert flashing.flash(waiting, pico_image, Console()).port == str(pico.device)


def refused(device, pico, path) -> str:
    """What flash() says; makes sure that the board has not even been rebooted."""
    before = pico.flash.read_bytes()
    with Repl(device.port) as repl:
        repl.exec("alive = True")
        with pytest.raises(UsageError) as error:
            flashing.flash(device, path, Console())
        assert repl.exec("print(alive)") == "True\n"
    assert pico.flash.read_bytes() == before
    return f"{error.value.what}: {error.value.why}"


def test_a_truncated_image_is_refused(device, pico, pico_image, tmp_path):
    path = tmp_path / "truncated.uf2"
    path.write_bytes(pico_image.read_bytes()[:-512])
    assert "truncated.uf2 cannot be flashed" in refused(device, pico, path)


def test_an_image_for_another_chip_is_refused(device, pico, pico_image, tmp_path):
    path = tmp_path / "other.uf2"
    ours = boards.load("pico").uf2.family.to_bytes(4, "little")
    rp2350 = (0xE48BFF59).to_bytes(4, "little")  # uf2families.json: RP2350_ARM_S
    content = pico_image.read_bytes()
    blocks = [content[at : at + 512] for at in range(0, len(content), 512)]
    path.write_bytes(b"".join(b[:28] + b[28:32].replace(ours, rp2350) + b[32:] for b in blocks))
    assert "is not for Raspberry Pi Pico" in refused(device, pico, path)


def test_another_content_of_the_flash_is_noticed(device, pico_image):
    good = uf2.load(pico_image, boards.load("pico"))
    other = uf2.FlashImage(good.family, good.address, good.data[:-1] + b"\x01")
    with Repl(device.port) as repl:
        verify.check_flash(repl, good)
        with pytest.raises(VerificationFailed, match="not what was sent"):
            verify.check_flash(repl, other)


def test_another_build_is_noticed(device):
    with Repl(device.port) as repl, pytest.raises(VerificationFailed, match="another image"):
        verify.check_build_id(repl, "0" * 16)


def test_the_drive_looks_like_the_real_one(pico, pico_image):
    into_bootsel(pico)
    lines = (pico.drive / "INFO_UF2.TXT").read_text().splitlines()
    assert "Model: Raspberry Pi RP2" in lines
    assert "Board-ID: RPI-RP2" in lines
    assert (pico.drive / "INDEX.HTM").is_file()
    shutil.copy(pico_image, pico.drive)
    wait_until_running(pico)
    assert not pico.drive.exists()


def test_the_drive_ignores_blocks_of_another_family(pico, pico_image):
    into_bootsel(pico)
    before = pico.flash.read_bytes()
    block = bytearray(pico_image.read_bytes()[:512])
    block[28:32] = (0xE48BFF59).to_bytes(4, "little")
    block[32:288] = bytes(256)
    (pico.drive / "other.uf2").write_bytes(block)
    time.sleep(0.3)  # several polls of the drive
    assert pico.flash.read_bytes() == before
    shutil.copy(pico_image, pico.drive)
    wait_until_running(pico)


def test_a_half_written_image_leaves_the_board_in_bootsel(state, pico_image):
    board = registry.start("pico", "half", image=pico_image)
    into_bootsel(board)
    # The first block is boot2: without its checksum the boot ROM starts nothing.
    content = bytearray(pico_image.read_bytes()[: 100 * 512])
    content[32 + 252] ^= 0xFF
    (board.drive / "half.uf2").write_bytes(content)
    time.sleep(0.3)
    registry.stop(record.load("half"))
    board = registry.start("pico", "half")
    assert board.state == record.BOOTSEL
    shutil.copy(pico_image, board.drive)
    wait_until_running(board)
    with Repl(str(board.device)) as repl:
        assert repl.exec("print(1)") == "1\n"
    registry.stop(record.load("half"))


def test_the_command_starts_a_board_flashes_and_verifies(host, pico_image, running_pico):
    registry.stop(record.load("pico"))
    done = host("flash", "--board", "pico", "--emulated", "--image", pico_image, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["verified"] is True
    assert answer["crc32"] == f"{uf2.load(pico_image, boards.load('pico')).crc32:08x}"


def test_the_command_says_what_the_crc_proves(host, running_pico, pico):
    done = host("flash", "--board", "pico", "--emulated")
    assert "the CRC proves the transfer, not who made the image" in done.stdout


def test_the_simulator_is_restarted_from_its_image(simulator, unix_image, host):
    done = host("flash", "--board", "unix", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(unix_image.with_name("image.json").read_text())
    assert json.loads(done.stdout)["build_id"] == facts["build_id"]
    assert record.load("unix").pid != simulator.pid
