"""What can go wrong, by who can mend it; the command line turns each class into its exit code."""

from __future__ import annotations


class TuwenError(Exception):
    """Parent of every error that tuwen raises on purpose; the message is one sentence a user can act on."""

    exit_code = 1


class UsageError(TuwenError, ValueError):
    """The call itself is wrong: an unknown option value, settings that contradict each other."""

    exit_code = 2


class ModelNotFound(TuwenError, LookupError):
    """No model of that name, and no file or folder there."""

    exit_code = 3


class MissingExtra(TuwenError, ImportError):
    """A feature needs an optional package; the message names the extra to install."""

    exit_code = 3


class UnsupportedTask(TuwenError, TypeError):
    """This model cannot do that task; the message names the models that can."""

    exit_code = 2


class InputError(TuwenError, ValueError):
    """The data is wrong: a file that is missing, truncated, of another format, or outside a limit."""

    exit_code = 4


class CheckpointError(InputError):
    """A weight file cannot be read safely, or does not hold what its model needs."""
