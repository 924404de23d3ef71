"""build.inputs: the build id changes with what goes into an image, and with nothing else."""

import shutil
from dataclasses import replace

import pytest

from fieldtune import boards, tree
from fieldtune.build import inputs
from fieldtune.build.sources import Origin
from fieldtune.errors import UsageError

PICO, UNIX = boards.load("pico"), boards.load("unix")
SKIP = shutil.ignore_patterns("node_modules", "__pycache__")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the project's trees, to change."""
    for name in ("boards", "device", "native_modules"):
        shutil.copytree(tree.source(name), tmp_path / name, ignore=SKIP)
    monkeypatch.setattr(tree, "source", lambda *parts: tmp_path.joinpath(*parts))
    return tmp_path


def read(board=PICO, origin=Origin(), ulab=None, compiler="gcc 12"):  # noqa: B008
    return inputs.read(board, origin, ulab, compiler)


def append(path, text="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


def test_the_same_inputs_have_the_same_id(project):
    assert read().build_id == read().build_id
    assert len(read().build_id) == 16


@pytest.mark.parametrize(
    "name", ["boards/pico/manifest.py", "device/fieldtune/new.py", "native_modules/qnn/new.c"]
)
def test_a_changed_file_changes_the_id(project, name):
    before = read().build_id
    append(project / name)
    assert read().build_id != before


@pytest.mark.parametrize(
    "name",
    [
        "boards/pico/emulator/runner.mjs",
        "boards/pico/board.toml",
        "boards/unix/manifest.py",
        "device/fieldtune/__pycache__/new.pyc",
        "native_modules/qnn/.new.c.swp",
    ],
)
def test_what_is_not_in_the_image_does_not_count(project, name):
    before = read().build_id
    append(project / name)
    assert read().build_id == before


def test_moving_content_between_files_changes_the_id():
    one = inputs.Inputs({"device/a": b"12", "device/b": b"3"}, "sources", "gcc")
    other = inputs.Inputs({"device/a": b"1", "device/b": b"23"}, "sources", "gcc")
    assert one.build_id != other.build_id


def test_boards_compilers_and_sources_have_ids_of_their_own():
    pico = read(PICO)
    ids = {pico.build_id, read(UNIX).build_id, read(PICO, compiler="gcc 14").build_id}
    assert len(ids | {replace(pico, sources="others").build_id}) == 4


def test_the_compiler_is_not_in_the_digest_that_a_shipped_image_is_known_by():
    assert read(compiler="gcc 12").digest == read(compiler="gcc 14").digest


def test_images_that_differ_in_frozen_python_share_their_objects(project):
    before = read().objects_id
    append(project / "device/fieldtune/new.py")
    assert read().objects_id == before
    append(project / "native_modules/qnn/new.c")
    assert read().objects_id != before


def test_a_build_gets_the_files_and_nothing_that_was_there_before(project, tmp_path):
    folder = tmp_path / "work"
    append(folder / "native_modules/qnn/deleted.c")
    read().write(folder, PICO)
    assert not (folder / "native_modules/qnn/deleted.c").exists()
    written = (folder / "boards/pico/manifest.py").read_bytes()
    assert written == (project / "boards/pico/manifest.py").read_bytes()


def test_a_file_that_has_not_changed_is_not_written_again(project, tmp_path):
    read().write(tmp_path / "work", PICO)
    file = tmp_path / "work/boards/pico/manifest.py"
    file.chmod(0o400)
    before = file.stat().st_mtime_ns
    read().write(tmp_path / "work", PICO)
    assert file.stat().st_mtime_ns == before


def test_the_image_knows_its_build_id(project, tmp_path):
    present = read()
    present.write(tmp_path / "work", PICO)
    known = {}
    exec((tmp_path / "work/device/fieldtune/_build.py").read_text(), known)
    assert (known["BUILD_ID"], known["BOARD"]) == (present.build_id, "pico")


def test_ulab_counts_when_it_is_asked_for(tmp_path):
    for name in ("micropython.mk", "micropython.cmake", "ulab.c"):
        append(tmp_path / "code" / name)
    with_ulab = read(ulab=tmp_path)
    assert "native_modules/ulab/ulab.c" in with_ulab.files
    assert with_ulab.objects_id != read().objects_id


def test_a_folder_that_is_not_ulab_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not ulab"):
        read(ulab=tmp_path)
