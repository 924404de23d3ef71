"""Set-up on a bare machine: what is asked of apt, and what a person is told instead."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from fieldtune.setup import packages

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine without a compiler, an apt-get that logs its calls and `brings` what is listed."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    monkeypatch.setenv("PATH", str(bin_))

    class Machine:
        calls = tmp_path / "calls"

        def tool(self, name: str, script: str = "") -> None:
            path = bin_ / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

        def apt(self, script: str = "") -> None:
            self.tool("apt-get", f'echo "$@" >> {self.calls}\n{script}')

    return Machine()


def user(monkeypatch, uid: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)


def test_bare_machine_lacks_every_package(bare):
    assert packages.missing() == [package.name for package in packages.PACKAGES]


def test_compiler_without_its_library_lacks_the_library(bare):
    # As gcc does when it knows no such file: the bare name comes back.
    bare.tool("arm-none-eabi-gcc", 'echo "${1#-print-file-name=}"')
    names = packages.missing()
    assert "gcc-arm-none-eabi" not in names
    assert "libnewlib-arm-none-eabi" in names


def test_someone_who_is_not_root_is_told_one_line_and_nothing_is_run(bare, monkeypatch, capsys):
    bare.apt()
    user(monkeypatch, 1000)
    assert packages.main() == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("do: sudo apt-get install -y gcc-arm-none-eabi ")
    assert not bare.calls.exists()


def test_root_gets_what_is_missing_and_no_more(bare, monkeypatch, capsys):
    for name in ("arm-none-eabi-gcc", "gcc"):
        bare.tool(name, f"echo {bare.calls.parent}")  # every library is found
    for name in ("make", "dpkg-source"):
        bare.tool(name)
    bare.apt(f'[ "$1" = install ] && : > {bare.calls.parent}/bin/cmake && '
             f"/bin/chmod +x {bare.calls.parent}/bin/cmake; true")  # fmt: skip
    user(monkeypatch, 0)
    assert packages.main() == 0
    assert bare.calls.read_text().splitlines() == [
        "update -qq",
        "install -qq -y --no-install-recommends cmake",
    ]


def test_apt_that_fails_leaves_root_with_the_line(bare, monkeypatch, capsys):
    bare.apt("exit 100")
    user(monkeypatch, 0)
    assert packages.main() == 1
    assert "do: apt-get install -y gcc-arm-none-eabi" in capsys.readouterr().err
    assert bare.calls.read_text().splitlines() == ["update -qq"]


def test_machine_without_apt_is_told_the_names(bare, monkeypatch, capsys):
    user(monkeypatch, 0)
    assert packages.main() == 1
    assert "do: install what Debian calls gcc-arm-none-eabi, " in capsys.readouterr().err


def test_machine_with_everything_is_not_touched(monkeypatch, capsys):
    def never(*_):
        raise AssertionError("nothing is missing")

    monkeypatch.setattr(packages, "_install", never)
    assert packages.main() == 0
    assert capsys.readouterr().err == ""


def test_old_python_is_told_which_one_is_needed(monkeypatch, capsys):
    monkeypatch.setattr(packages.sys, "version_info", (3, 9, 2))
    assert packages.main() == 1
    assert capsys.readouterr().err == (
        "error: python3 is 3.9, fieldtune needs 3.11 or newer\ndo: make PYTHON=python3.11\n"
    )


def test_set_up_runs_on_a_python_that_has_nothing_installed():
    # -I -S: neither site-packages nor the environment's paths.
    program = "import sys; sys.path.insert(0, 'host'); import fieldtune.setup.packages"
    assert subprocess.run(["python3", "-I", "-S", "-c", program], cwd=ROOT).returncode == 0


def plan(tmp_path, *done: str) -> list[str]:
    """What `make lint` would run where the steps `done` are done."""
    stamps = tmp_path / ".done"
    stamps.mkdir()
    for name in done:
        (stamps / name).touch()
    asked = ["make", "--no-print-directory", "-n", "lint", f"VENV={tmp_path}"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()


def test_first_make_sets_up_before_it_works(tmp_path):
    steps = [line for line in plan(tmp_path) if "touch" not in line]
    assert [re.search(r"setup|venv|pip|ruff", step)[0] for step in steps] == [
        "setup",
        "venv",
        "pip",
        "ruff",
        "ruff",
    ]


def test_second_make_sets_up_nothing(tmp_path):
    steps = plan(tmp_path, "packages", "venv", "test")
    assert [step.split()[1] for step in steps] == ["check", "format"]


def test_every_target_is_in_the_help():
    rules = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", rules, re.MULTILINE)[1].split()
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    for target in set(targets) - {"help"}:
        assert f"make {target} " in text


def test_nothing_runs_sudo():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    code = [n for n in names.split() if n.endswith((".py", ".mk", ".cmake", ".mjs", ".sh"))]
    for name in [*code, "Makefile", ".ci/run"]:
        path = ROOT / name
        if path.is_file() and not name.startswith("tests/"):
            assert not re.search(r"""^\s*sudo\b|["']sudo["']""", path.read_text(), re.MULTILINE)
