"""Errors that a user can cause; each message says what was expected, what was found and what to do next."""

from __future__ import annotations


class TellyError(Exception):
    """An error that the user can mend.

    The command line prints its text without a stack trace and exits with code 2.
    """


class DataError(TellyError):
    """Input data does not have the expected form."""


class ModelError(TellyError):
    """A checkpoint cannot be loaded, or its layers cannot be found or replayed."""


class PlanError(TellyError):
    """A freeze plan is impossible: K out of range, nothing left to train, a tied head."""


class CacheError(TellyError):
    """An activation cache cannot be built, read or trusted."""


class ConfigError(TellyError):
    """A setting is unknown, malformed or contradicts another."""


class CodeIndexError(TellyError):
    """An index of a source tree is missing, damaged, in use, or of another model."""


class TrainingError(TellyError):
    """Training cannot continue: the loss is not finite, or a checkpoint is unusable."""


class ExportError(TellyError):
    """A model cannot be exported or uploaded as asked, or the exported model differs from the tuned one."""
