"""Waiting for a BOOTSEL drive and copying to it."""

import pytest

from fieldtune import boards
from fieldtune.console import Console
from fieldtune.errors import DataLost, TimedOut
from fieldtune.flash import uf2_drive

PICO = boards.load("pico")


def test_the_drive_is_returned_as_soon_as_it_is_there(tmp_path):
    answers = iter([None, None, tmp_path])
    assert uf2_drive.wait_for(lambda: next(answers), PICO, 5) == tmp_path


def test_no_drive_says_how_to_bring_it(monkeypatch, tmp_path):
    monkeypatch.setattr(uf2_drive, "LABELS", tmp_path)
    with pytest.raises(TimedOut) as error:
        uf2_drive.wait_for(lambda: None, PICO, 0)
    assert "hold BOOTSEL" in error.value.do


def test_a_drive_that_nothing_mounts_comes_with_the_line_that_does(monkeypatch, tmp_path):
    monkeypatch.setattr(uf2_drive, "LABELS", tmp_path)
    disk = tmp_path / "sda1"
    disk.touch()
    (tmp_path / "RPI-RP2").symlink_to(disk)
    with pytest.raises(TimedOut) as error:
        uf2_drive.wait_for(lambda: None, PICO, 0)
    assert f"udisksctl mount -b {disk}" in error.value.do


def test_the_content_is_copied_whole(tmp_path):
    content = bytes(range(256)) * 200  # no multiple of the chunk
    uf2_drive.copy(content, tmp_path, Console(as_json=True))
    assert (tmp_path / "firmware.uf2").read_bytes() == content


def test_a_drive_that_goes_away_is_data_lost(tmp_path):
    with pytest.raises(DataLost):
        uf2_drive.copy(b"x", tmp_path / "gone", Console(as_json=True))
