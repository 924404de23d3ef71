"""The wheel, installed into an empty environment and used outside the checkout."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from fieldtune import wheel
from fieldtune.console import Console

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    wheel.furnish(wheel.stage(ROOT, folder), Console())
    return wheel.pack(folder, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The folder of programs of an environment that has the wheel, and no checkout."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-index"]
    subprocess.run([*pip, "--no-deps", str(built)], check=True)
    # What the wheel depends on is lent by the environment of the tests, which saves fetching it.
    # A .pth file in a folder lent so is not read: the editable fieldtune there stays out of sight.
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    Path(packages, "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


@pytest.fixture
def host(installed, tmp_path):
    """Runs a program of the environment, outside the checkout, where there is no other program."""
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FIELDTUNE"))
    }
    environment |= {
        "PATH": str(installed),
        "FIELDTUNE_CACHE": str(tmp_path / "cache"),
        "FIELDTUNE_STATE": str(tmp_path / "state"),
    }

    def call(*argv: str, program: str = "host") -> subprocess.CompletedProcess:
        return subprocess.run(
            [installed / program, *argv],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    yield call
    call("emulate", "--stop", "all")


def test_wheel_carries_the_trees_and_nothing_that_was_made(built):
    names = zipfile.ZipFile(built).namelist()
    carried = [name for name in names if name.startswith("fieldtune/_tree/")]
    for folder in ("boards/pico", "boards/unix", "device/fieldtune", "native_modules/qnn"):
        assert any(name.startswith(f"fieldtune/_tree/{folder}/") for name in carried), folder
    made = re.compile(r"__pycache__|node_modules|\.(o|so|pyc|uf2|bin)$")
    assert [name for name in carried if made.search(name)] == []
    assert [name for name in names if "__pycache__" in name] == []


def test_wheel_carries_every_file_of_the_trees(built):
    listed = subprocess.run(
        ["git", "ls-files", "boards", "device", "native_modules"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    carried = set(zipfile.ZipFile(built).namelist())
    present = [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    assert present
    assert [name for name in present if f"fieldtune/_tree/{name}" not in carried] == []


def test_wheel_carries_the_image_and_its_emulator(built):
    names = zipfile.ZipFile(built).namelist()
    images = "fieldtune/_images"
    assert f"{images}/pico/firmware.uf2" in names
    assert f"{images}/pico/image.json" in names
    assert [n for n in names if re.fullmatch(rf"{images}/emulator/bootrom-\w+\.bin", n)]
    assert [n for n in names if re.match(rf"{images}/emulator/rp2040js-\w+/.*/index\.js$", n)]


@pytest.mark.parametrize("program", ["host", "fieldtune"])
def test_both_names_are_the_same_program(host, program):
    assert host("--version", program=program).stdout.startswith("fieldtune ")


def test_python_m_fieldtune_is_the_same_program(host):
    assert host("-m", "fieldtune", "--version", program="python").stdout.startswith("fieldtune ")


def test_boards_are_those_of_the_checkout(host):
    known = {board["name"] for board in json.loads(host("boards", "--json").stdout)}
    assert known == {path.parent.name for path in (ROOT / "boards").glob("*/board.toml")}


def test_doctor_finds_a_pico_usable_without_a_compiler(host):
    result = host("doctor", "--json")
    document = json.loads(result.stdout)
    assert (result.returncode, document["obstacles"]) == (0, [])
    status = {row["name"]: row["status"] for row in document["checks"]}
    assert status["gcc-arm-none-eabi"] == "missing"
    assert status["Pico image"] == status["rp2040js"] == status["bootrom"] == "ok"


def test_example_model_is_made(host, tmp_path):
    result = host("model", "example", "digits", "--untrained", "--output", "m.safetensors")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "m.safetensors").stat().st_size > 0


def test_emulated_pico_is_flashed_without_a_compiler(host):
    result = host("flash", "--board", "pico", "--emulated")
    assert result.returncode == 0, result.stderr
    assert "verified" in result.stdout


def test_installed_package_is_not_the_checkout(host):
    program = "import fieldtune; print(fieldtune.__file__)"
    path = host("-c", program, program="python").stdout
    assert path and str(ROOT) not in path
