"""Source packages of Debian stable, fetched and verified by apt on any Debian machine.

apt runs with a state of its own below the cache: it knows one archive, Debian's trixie, and trusts
Debian's archive keys only. Nothing of the machine's own package management is touched.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from fieldtune import tree
from fieldtune.build.workspace import Lock, run
from fieldtune.errors import FieldtuneError, UsageError

SUITE = "trixie"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_NO_MIRROR = "name a Debian mirror (--mirror URL) or a MicroPython checkout (--micropython DIR)"


def _release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key: value.strip('"') for key, value in pairs}


def mirror() -> str | None:
    """The Debian mirror this machine's apt uses, or None."""
    release = _release()
    if release.get("ID") != "debian" or not shutil.which("apt-get"):
        return None
    listed = subprocess.run(
        ["apt-get", "indextargets", "--no-release-info"]
        + ["--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"],
        capture_output=True,
        text=True,
    )
    suites = {release.get("VERSION_CODENAME"), "stable", "testing", "unstable", "sid", SUITE}
    for line in listed.stdout.splitlines():
        suite, component, uri = line.split(" ", 2)
        if suite in suites and component == "main":
            return uri
    return None


class Archive:
    """Debian's archive at `url`, or at the machine's own mirror.

    Raises FieldtuneError where there is no apt, no mirror or no archive key.
    """

    def __init__(self, url: str | None, log: Path, lock: Lock):
        if not shutil.which("apt-get"):
            raise FieldtuneError(
                "the sources of MicroPython cannot be fetched",
                "they are Debian's source packages, and this machine has no apt",
                "clone MicroPython 1.25.0 with its submodules and name it: --micropython DIR",
            )
        if url and not re.fullmatch(r"[a-z+]+:[\w./:@%+~-]+", url):
            raise UsageError(f"{url!r} is no address of a Debian mirror", do="--mirror http://...")
        self.url = url or mirror()
        if not self.url:
            raise FieldtuneError(
                "the sources of MicroPython cannot be fetched",
                "they are Debian's source packages, and this machine's apt has no Debian mirror",
                _NO_MIRROR,
            )
        if not KEYS.is_file():
            raise FieldtuneError(
                "the sources of MicroPython cannot be verified",
                f"{KEYS} is missing",
                "install Debian's archive keys: apt-get install debian-archive-keyring",
            )
        self.folder = tree.cache() / "apt"
        self.log, self.lock = log, lock
        self._updated = False

    def _apt(self, *arguments: str, what: str, cwd: Path | None = None) -> None:
        settings = {
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State::Lists": self.folder / "lists",
            "Dir::Cache": self.folder / "cache",
            "APT::Sandbox::User": "root",  # the cache may lie where nobody else may read
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        options = [f"-o{name}={value}" for name, value in settings.items()]
        env = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "-q", *options, *arguments], what, self.log, self.lock, env, cwd)

    def _update(self) -> None:
        if self._updated:
            return
        for part in ("lists/partial", "cache/archives/partial"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        lines = [
            f"{kind} [signed-by={KEYS}] {self.url} {SUITE} main" for kind in ("deb", "deb-src")
        ]
        (self.folder / "sources.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
        what = f"reading Debian's package lists from {self.url}"
        self._apt("update", "--error-on=any", what=what)
        self._updated = True

    def source(self, package: str, into: Path) -> Path:
        """Downloads the upstream tarball of a source package. Returns its path."""
        self._update()
        what = f"downloading Debian's source of {package}"
        self._apt("source", "--download-only", "--tar-only", package, what=what, cwd=into)
        return _single(into, f"{package}_*.orig.tar.*")

    def package(self, package: str, into: Path) -> Path:
        """Downloads a binary package. Returns its path."""
        self._update()
        self._apt("download", package, what=f"downloading Debian's {package}", cwd=into)
        return _single(into, f"{package}_*.deb")


def _single(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise FieldtuneError(f"apt left {len(found)} files of the name {pattern}, not one")
    return found[0]
