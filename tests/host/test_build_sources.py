"""build.sources, build.debian, build.edits: only the sources that are meant are built."""

import os
import stat

import pytest

from fieldtune.build import debian, digest, edits
from fieldtune.build.sources import Origin
from fieldtune.build.workspace import Lock
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError, UsageError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FIELDTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def script(file, text):
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def fetch(tmp_path, origin=Origin(), with_sdk=False):  # noqa: B008
    with Lock("sources", Console()) as lock:
        return origin.fetch(with_sdk, tmp_path / "log.txt", lock, Console())


def checkout(folder):
    for part in ("drivers", "extmod", "lib", "mpy-cross", "ports/unix", "py", "shared", "tools"):
        (folder / part).mkdir(parents=True)
    for edit in edits.EDITS:
        file = folder / edit.path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as text:
            text.write(edit.old + "\n")
    return folder


def test_without_apt_a_checkout_is_asked_for(tmp_path, path):
    with pytest.raises(FieldtuneError) as failed:
        fetch(tmp_path)
    assert failed.value.why.endswith("this machine has no apt")
    assert "--micropython DIR" in failed.value.do


def test_without_a_debian_mirror_one_is_asked_for(tmp_path, path):
    script(path / "apt-get", "echo noble main http://archive.ubuntu.com/ubuntu/")
    with pytest.raises(FieldtuneError) as failed:
        fetch(tmp_path)
    assert failed.value.why.endswith("this machine's apt has no Debian mirror")
    assert "--mirror URL" in failed.value.do


def test_the_mirror_is_the_one_apt_uses(path, monkeypatch):
    monkeypatch.setattr(
        debian, "_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    )
    lines = [
        "bookworm-security main http://mirror/debian-security/",
        "bookworm contrib http://elsewhere/debian/",
        "bookworm main http://mirror/debian/",
        "bookworm-updates main http://other/debian/",
    ]
    script(path / "apt-get", "\n".join(f"echo {line}" for line in lines))
    assert debian.mirror() == "http://mirror/debian/"


@pytest.mark.parametrize(
    "url", ["mirror", "http://a b", "http://a\ndeb [trusted=yes] http://b", ""]
)
def test_what_is_no_address_is_no_mirror(tmp_path, path, url):
    script(path / "apt-get", "exit 1")
    with pytest.raises(FieldtuneError):
        fetch(tmp_path, Origin(mirror=url))


def test_a_failing_download_names_the_mirror_and_leaves_nothing(
    tmp_path, path, monkeypatch, cache
):
    monkeypatch.setattr(debian, "KEYS", tmp_path)
    monkeypatch.setattr(debian.Path, "is_file", lambda self: True)
    script(path / "apt-get", "echo 'E: no route'; exit 100")
    with pytest.raises(FieldtuneError, match="from http://mirror/debian failed") as failed:
        fetch(tmp_path, Origin(mirror="http://mirror/debian"))
    assert "E: no route" in failed.value.why
    assert list((cache / "sources").iterdir()) == []


class Fake:
    """Debian's archive with other content than the pinned."""

    url = "http://mirror"

    def __init__(self, *_arguments):
        pass

    def source(self, _package, into):
        (into / "micropython.orig.tar.xz").write_bytes(b"something else")
        return into / "micropython.orig.tar.xz"


def test_another_tarball_is_refused_and_leaves_nothing(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(debian, "Archive", Fake)
    with pytest.raises(FieldtuneError, match="is not the version"):
        fetch(tmp_path)
    assert list((cache / "sources").iterdir()) == []


def test_a_checkout_is_copied_and_adapted(tmp_path):
    source = checkout(tmp_path / "mp")
    fetched = fetch(tmp_path, Origin(checkout=source))
    assert (
        "MICROPY_SSL_MBEDTLS OFF" in (fetched.micropython / "ports/rp2/CMakeLists.txt").read_text()
    )
    assert "MICROPY_SSL_MBEDTLS ON" in (source / "ports/rp2/CMakeLists.txt").read_text()


def test_a_changed_checkout_is_another_identity(tmp_path):
    origin = Origin(checkout=checkout(tmp_path / "mp"))
    before = origin.identity(with_sdk=False)
    (tmp_path / "mp/py/new.c").write_text("")
    assert origin.identity(with_sdk=False) != before


def test_an_edit_that_does_not_fit_is_an_error_and_leaves_nothing(tmp_path, cache):
    source = checkout(tmp_path / "mp")
    (source / "ports/unix/modmachine.c").write_text("")
    with pytest.raises(FieldtuneError, match="cannot adapt MicroPython's ports/unix/modmachine.c"):
        fetch(tmp_path, Origin(checkout=source))
    assert list((cache / "sources").iterdir()) == []


def test_a_submodule_that_is_missing_is_named(tmp_path):
    source = checkout(tmp_path / "mp")
    with pytest.raises(UsageError) as refused:
        fetch(tmp_path, Origin(checkout=source), with_sdk=True)
    assert refused.value.do == f"git -C {source} submodule update --init lib/pico-sdk"


def test_a_folder_that_is_not_micropython_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no checkout of MicroPython"):
        fetch(tmp_path, Origin(checkout=tmp_path))


def test_a_tree_has_the_same_digest_whether_its_links_lead_somewhere_or_not(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name / "lib").mkdir(parents=True)
        os.symlink("../target", tmp_path / name / "lib" / "link")
    (tmp_path / "there" / "target").mkdir()
    assert digest.of_tree(tmp_path / "here") == digest.of_tree(tmp_path / "there")


@pytest.mark.parametrize("change", ["content", "name", "link", "moved"])
def test_a_tree_with_another_file_has_another_digest(tmp_path, change):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    before = digest.of_tree(tmp_path)
    if change == "content":
        (tmp_path / "folder" / "file").write_text("changed")
    elif change == "name":
        (tmp_path / "folder" / "file").rename(tmp_path / "folder" / "elif")
    elif change == "link":
        (tmp_path / "link").symlink_to("folder")
    else:
        (tmp_path / "folder" / "file").rename(tmp_path / "file")
    assert digest.of_tree(tmp_path) != before
