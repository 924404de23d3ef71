"""boards: what board.toml says about each board."""

import json

import pytest

from fieldtune import boards, cli
from fieldtune.errors import UsageError


def test_the_boards_are_those_with_a_board_toml():
    assert boards.names() == ["pico", "unix"]


def test_the_pico_is_what_its_data_sheets_say():
    pico = boards.load("pico")
    assert (pico.kind, pico.chip, pico.core) == ("hardware", "RP2040", "cortex-m0plus")
    assert pico.clock_hz == 125_000_000
    assert pico.flash_bytes == 2 * 1024 * 1024
    assert pico.ram_bytes == 264 * 1024  # four banks of 64 KiB, two of 4 KiB
    assert (pico.usb.vendor, pico.usb.product, pico.usb.bootloader) == (0x2E8A, 0x0005, 0x0003)


def test_an_image_for_the_pico_ends_where_the_file_system_begins():
    pico = boards.load("pico")
    header = (pico.folder / "mpconfigboard.h").read_text()
    assert "#define MICROPY_HW_FLASH_STORAGE_BYTES (1408 * 1024)" in header
    assert pico.uf2.address == 0x1000_0000
    assert pico.uf2.size == pico.flash_bytes - 1408 * 1024


def test_the_simulator_has_no_flash_and_no_usb():
    unix = boards.load("unix")
    assert (unix.kind, unix.flash_method, unix.uf2, unix.usb) == ("simulator", "none", None, None)


def test_an_unknown_board_is_refused_with_the_names_of_the_known():
    with pytest.raises(UsageError) as refused:
        boards.load("../pico")
    assert refused.value.do == "choose one of: pico, unix"


def test_host_boards_lists_every_board(capsys):
    assert cli.main(["boards"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "pico", "unix"]


def test_host_boards_as_json(capsys):
    assert cli.main(["boards", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [board["name"] for board in listed] == ["pico", "unix"]
    assert listed[0]["uf2"]["family"] == 0xE48BFF56
