"""The exceptions a command can end with, and the exit code of each."""


class FieldtuneError(Exception):
    """Something failed: `what` happened, `why` if it is known, what to `do` about it."""

    exit_code = 1

    def __init__(self, what: str, why: str = "", do: str = ""):
        super().__init__(what)
        self.what, self.why, self.do = what, why, do


class UsageError(FieldtuneError):
    """The command, its arguments or a file named in them are wrong."""

    exit_code = 2


class NoDevice(FieldtuneError):
    """No board answers to that description."""

    exit_code = 3


class AmbiguousDevice(FieldtuneError):
    """More than one board answers to that description."""

    exit_code = 4


class TimedOut(FieldtuneError):
    """The board did not answer in time."""

    exit_code = 5


class VerificationFailed(FieldtuneError):
    """What was read back is not what was written."""

    exit_code = 6


class DeviceRaised(FieldtuneError):
    """Code on the board raised an exception."""

    exit_code = 7


class DataLost(FieldtuneError):
    """The board went away, or its counts are not the host's."""

    exit_code = 8


class Incompatible(FieldtuneError):
    """Firmware, model file and host do not fit together."""

    exit_code = 9
