"""build.image: an image is built once, is the same bytes everywhere, and is found again."""

import json
import os
import shutil
import subprocess
import zlib

import pytest

from fieldtune import boards, cli, tree, uf2
from fieldtune.build import image, tools
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError, UsageError


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory):
    """The project's trees as they are now, so that nothing changes between two builds."""
    folder = tmp_path_factory.mktemp("project")
    ignored = shutil.ignore_patterns("node_modules", "__pycache__")
    for name in ("boards", "device", "native_modules"):
        shutil.copytree(tree.source(name), folder / name, ignore=ignored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "source", lambda *parts: folder.joinpath(*parts))
        yield folder


@pytest.fixture(scope="module")
def unix():
    return image.build("unix", Console())


@pytest.fixture(scope="module")
def pico():
    return image.build("pico", Console())


@pytest.fixture
def other_cache(unix, tmp_path, monkeypatch):
    """A cache with the sources and without builds."""
    for part in ("sources", "tools"):
        shutil.copytree(
            tree.cache() / part, tmp_path / "cache" / part, symlinks=True, copy_function=os.link
        )
    monkeypatch.setenv("FIELDTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setattr(tools, "missing", lambda cross: ["gcc-arm-none-eabi", "cmake"])


@pytest.fixture
def shipped(unix, tmp_path, monkeypatch):
    """The simulator as a wheel ships an image."""
    shutil.copytree(unix.path.parent, tmp_path / "shipped" / "unix")
    monkeypatch.setattr(tree, "shipped_images", lambda: tmp_path / "shipped")
    return tmp_path / "shipped" / "unix"


def python(program, code):
    done = subprocess.run([program, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_image_says_which_it_is(unix):
    code = "from fieldtune._build import *; print(BUILD_ID, BOARD)"
    assert python(unix.path, code) == [unix.build_id, "unix"]


def test_the_native_modules_are_in_the_image(unix):
    assert python(unix.path, "import qnn, wire; print(1)") == ["1"]


def test_the_record_beside_the_image_tells_its_size_and_crc(unix):
    content = unix.path.read_bytes()
    record = json.loads((unix.path.parent / "image.json").read_text())
    assert (record["size"], record["crc32"]) == (len(content), zlib.crc32(content))
    assert record["build_id"] == unix.build_id == unix.path.parent.name
    assert set(record["sections"]) == {"text", "data", "bss"}


def test_an_image_that_is_there_is_not_built_again(unix, monkeypatch):
    monkeypatch.setattr(image, "_build", lambda *_: pytest.fail("built again"))
    assert image.build("unix", Console()) == unix
    assert image.current("unix") == unix


def test_the_bytes_depend_on_neither_the_place_nor_what_was_built_before(
    unix, project, other_cache, monkeypatch
):
    def interrupted(self, work):
        work.objects.mkdir()
        (work.objects / "py").write_text("half an object")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fieldtune.build.recipes.Unix.make", interrupted)
        with pytest.raises(KeyboardInterrupt):
            image.build("unix", Console())
    assert image.current("unix") is None

    module = project / "device" / "fieldtune" / "one_more.py"
    module.write_text("ANSWER = 42\n")
    try:
        other = image.build("unix", Console())
    finally:
        module.unlink()
    assert python(other.path, "from fieldtune.one_more import *; print(ANSWER)") == ["42"]

    again = image.build("unix", Console())
    assert again.path.is_relative_to(other_cache)
    assert again.path.read_bytes() == unix.path.read_bytes()


def test_an_image_holds_no_path_of_the_machine_that_built_it(unix, pico):
    for path in (unix.path, pico.path.with_name("firmware.bin")):
        content = path.read_bytes()
        assert str(tree.cache()).encode() not in content
        assert str(tree.source()).encode() not in content


def test_there_is_no_current_image_before_the_first_build(other_cache):
    assert image.current("unix") is None


def test_the_picos_image_is_a_uf2_for_the_pico(pico):
    loaded = uf2.load(pico.path, boards.load("pico"))
    assert loaded.data == pico.path.with_name("firmware.bin").read_bytes()
    assert (len(loaded.data), loaded.crc32) == (pico.size, pico.crc32)


def symbols(image):
    """name -> (address, section, size) of an image's ELF file."""
    command = ["arm-none-eabi-objdump", "-t", image.path.with_name("firmware.elf")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    table = {}
    for line in lines:
        place, _, named = line.partition("\t")
        if len(named.split()) >= 2:
            size, *_, name = named.split()
            table[name] = (int(place.split()[0], 16), place.split()[-1], int(size, 16))
    return table


def test_the_picos_kernels_run_from_sram(pico):
    table = symbols(pico)
    names = ("dense_forward", "dense_dx", "dense_update")
    # .data is copied to SRAM by the start-up code.
    assert [table[name][1] for name in names] == [".data"] * 3


def test_the_picos_stdin_holds_4096_bytes(pico):
    assert symbols(pico)["stdin_ringbuf_array"][2] == 4096


def test_the_pico_leaves_to_python_what_the_planner_counts_on(pico):
    table = symbols(pico)
    region = table["__GcHeapEnd"][0] - table["__GcHeapStart"][0]
    # The collector's tables take a byte of 64 and another of 128.
    usable = region * 128 // 131
    at_the_prompt = 4_500  # gc.mem_alloc() with nothing imported
    assert usable - at_the_prompt >= boards.load("pico").heap_bytes


def test_what_is_missing_is_said_with_the_line_that_brings_it(other_cache, no_compiler):
    with pytest.raises(FieldtuneError) as failed:
        image.build("unix", Console())
    assert failed.value.why == "this machine lacks gcc-arm-none-eabi, cmake"
    assert "gcc-arm-none-eabi cmake" in failed.value.do


def test_a_shipped_image_of_the_same_inputs_is_taken(shipped, other_cache):
    found = image.build("unix", Console())
    assert found.path == shipped / "micropython"


def test_a_shipped_image_of_other_inputs_is_not_taken(shipped, other_cache):
    record = json.loads((shipped / "image.json").read_text())
    (shipped / "image.json").write_text(json.dumps(record | {"inputs": "others"}))
    assert image.current("unix") is None


def test_without_a_compiler_the_shipped_image_is_taken(shipped, other_cache, no_compiler):
    record = json.loads((shipped / "image.json").read_text())
    (shipped / "image.json").write_text(json.dumps(record | {"inputs": "others"}))
    assert image.build("unix", Console()).path == shipped / "micropython"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"board": "unix"}'])
def test_a_damaged_record_is_no_image(shipped, other_cache, text):
    (shipped / "image.json").write_text(text)
    assert image.current("unix") is None


def test_a_cache_that_make_cannot_cope_with_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("FIELDTUNE_CACHE", str(tmp_path / "my cache"))
    with pytest.raises(UsageError, match="images cannot be built below"):
        image.build("unix", Console())


def test_host_build_prints_the_image(unix, capsys):
    assert cli.main(["build", "--board", "unix"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"image     {unix.path}",
        f"build id  {unix.build_id}",
    ]


def test_host_build_as_json(unix, capsys):
    assert cli.main(["build", "--board", "unix", "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert (built["path"], built["build_id"]) == (str(unix.path), unix.build_id)


def test_host_build_names_the_boards_when_one_is_unknown(capsys):
    assert cli.main(["build", "--board", "esp32"]) == 2
    assert "choose one of: pico, unix" in capsys.readouterr().err
