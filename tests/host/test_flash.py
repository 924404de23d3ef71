"""What is refused before anything is touched."""

import pytest

from fieldtune import boards
from fieldtune.console import Console
from fieldtune.devices import EMULATED, RUNNING, Device
from fieldtune.emulate import registry
from fieldtune.errors import UsageError
from fieldtune.flash.flash import flash


@pytest.mark.parametrize(
    "facts", [None, "", "{}", '{"board": "pico", "build_id": "0", "size": 1}']
)
def test_a_program_that_is_no_simulator_is_refused_while_the_old_one_runs(
    tmp_path, monkeypatch, facts
):
    monkeypatch.setattr(registry, "stop", lambda board: pytest.fail("it was stopped"))
    image = tmp_path / "micropython"
    image.touch()
    if facts is not None:
        (tmp_path / "image.json").write_text(facts)
    device = Device(boards.load("unix").name, EMULATED, "unix", RUNNING, "port")
    with pytest.raises(UsageError, match="no image of the unix simulator"):
        flash(device, image, Console())
