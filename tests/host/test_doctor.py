"""host doctor: what counts as ready, and what is said about what is missing."""

import json
import os
from pathlib import Path

import pytest

from fieldtune import cli
from fieldtune.commands import doctor
from fieldtune.commands.doctor import MISSING, NOTE, OK, Finding
from fieldtune.errors import FieldtuneError


def findings(**changed) -> dict[str, list[Finding]]:
    """A machine where all is well, but for the groups given."""
    groups = {
        "machine": [Finding("python", OK, "3.13")],
        "build": [Finding("cmake", OK, "/usr/bin/cmake")],
        "image": [Finding("Pico image", OK, "build 0123")],
        "emulator": [Finding("Node.js", OK, "node")],
        "board": [Finding("serial ports", OK, "may be opened")],
    }
    return groups | changed


NO_CMAKE = [Finding("cmake", MISSING, "", "apt-get install -y cmake")]
NO_IMAGE = [Finding("Pico image", NOTE, "not built yet")]
NO_NODE = [Finding("Node.js", MISSING, "")]
REAL = Finding("real pico", OK, "/dev/ttyACM0, running")
CLOSED = Finding("serial ports", MISSING, "/dev/ttyACM0 not yours to open")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"build": NO_CMAKE},  # the image is there already
        {"image": NO_IMAGE},  # it can be built
        {"emulator": NO_NODE, "board": [REAL]},
        {"board": [CLOSED, REAL]},  # the emulator does
        {"machine": [Finding("host", NOTE, "/usr/bin/host is another program")]},
    ],
)
def test_ready(changed):
    assert doctor.obstacles(findings(**changed)) == []


@pytest.mark.parametrize(
    "changed, named",
    [
        ({"build": NO_CMAKE, "image": NO_IMAGE}, "cmake"),
        ({"emulator": NO_NODE}, "Node.js"),
        ({"emulator": NO_NODE, "board": [CLOSED, REAL]}, "serial ports"),
        ({"machine": [Finding("python", MISSING, "3.9")]}, "python"),
    ],
)
def test_not_ready_names_what_stands_in_the_way(changed, named):
    (reason,) = doctor.obstacles(findings(**changed))
    assert named in reason


def use(monkeypatch, **groups) -> None:
    """Lets `host doctor` find what the test says."""
    checks = {name: (lambda rows=rows: rows,) for name, rows in findings(**groups).items()}
    monkeypatch.setattr(doctor, "GROUPS", checks)


def test_exit_code_is_zero_when_ready(monkeypatch, capsys):
    use(monkeypatch)
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ready for a Pico"


def test_exit_code_is_one_and_the_line_to_type_is_printed(monkeypatch, capsys):
    use(monkeypatch, build=NO_CMAKE, image=NO_IMAGE)
    assert cli.main(["doctor"]) == 1
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "-> apt-get install -y cmake" in lines
    assert lines[-1] == "not ready for a Pico: no image, and none can be built without cmake"


def test_json_has_the_verdict_and_every_row(monkeypatch, capsys):
    use(monkeypatch, emulator=NO_NODE)
    assert cli.main(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ready"] is False
    assert document["obstacles"] == ["no board, and no emulated one without Node.js"]
    assert [row["name"] for row in document["checks"] if row["status"] == "missing"] == ["Node.js"]
    assert set(document["checks"][0]) == {"group", "name", "status", "found", "do"}


def test_check_that_fails_is_a_row_of_its_own(monkeypatch):
    def node():
        raise FieldtuneError("needs Node.js", "", "pip install it")

    monkeypatch.setattr(doctor, "GROUPS", {"emulator": (node,)})
    assert doctor.examine() == {
        "emulator": [Finding("node", MISSING, "needs Node.js", "pip install it")]
    }


def test_bare_machine_is_told_a_line_for_each_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    rows = list(doctor.toolchain())
    assert {row.status for row in rows} == {MISSING}
    assert all(row.name in row.do for row in rows)


def program(folder: Path, text: str) -> Path:
    folder.mkdir()
    path = folder / "host"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_dns_tool_of_the_same_name_is_pointed_out(tmp_path, monkeypatch):
    theirs = program(tmp_path / "usr", "\x7fELF libdns")
    monkeypatch.setenv("PATH", str(theirs.parent))
    (row,) = doctor.command()
    assert row.status == NOTE
    assert row.found == f"{theirs} is another program"


def test_own_host_first_on_the_path_is_well(tmp_path, monkeypatch):
    theirs = program(tmp_path / "usr", "\x7fELF libdns")
    ours = program(tmp_path / "venv", "#!/bin/python\nfrom fieldtune.cli import main\n")
    monkeypatch.setenv("PATH", f"{ours.parent}{os.pathsep}{theirs.parent}")
    (row,) = doctor.command()
    assert (row.status, row.found) == (OK, str(ours))


def test_nothing_on_the_path_names_another_way(monkeypatch):
    monkeypatch.setenv("PATH", "")
    (row,) = doctor.command()
    assert row.status == NOTE
    assert "python -m fieldtune" in row.do


def test_parts_the_emulator_makes_are_looked_for_and_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("FIELDTUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor.tree, "shipped_images", lambda: tmp_path / "none")
    (before,) = doctor.rp2040js()
    assert before.status == NOTE
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "emulator" / "rp2040js-0123").mkdir(parents=True)
    (after,) = doctor.rp2040js()
    assert after.status == OK


def test_boot_rom_without_assembler_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("FIELDTUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor.tree, "shipped_images", lambda: tmp_path / "none")
    monkeypatch.setenv("PATH", "")
    (row,) = doctor.bootrom()
    assert row.status == MISSING
    assert "gcc-arm-none-eabi" in row.do
