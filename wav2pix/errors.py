"""The exceptions of the trainer. All derive from :class:`Wav2PixError`, whose message is for a user."""

from __future__ import annotations


class Wav2PixError(Exception):
    """What went wrong, where, and what to do: the command line prints it without a traceback."""


class ConfigError(Wav2PixError):
    """A setting that does not exist or a value that it cannot take.

    Attributes:
        key: dotted path of the setting, such as ``optimizer.lr_generator``.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class DataError(Wav2PixError):
    """A data set, or something that was to become one, is not usable."""


class AudioError(Wav2PixError):
    """A sound file cannot be read or is not usable."""


class CheckpointError(Wav2PixError):
    """A checkpoint or an exported model is missing, damaged or of another shape."""


class TrainingDiverged(Wav2PixError):
    """Training cannot go on: a loss is not finite, or the generator has collapsed.

    Attributes:
        epoch: number of the epoch in which it happened, from 1.
        term: name of the loss term or check, such as ``loss_discriminator``.
    """

    def __init__(self, epoch: int, term: str, message: str) -> None:
        super().__init__(f"training diverged in epoch {epoch}: {term}: {message}")
        self.epoch = epoch
        self.term = term
        self._message = message

    def __reduce__(self) -> tuple[type[TrainingDiverged], tuple[int, str, str]]:
        return (type(self), (self.epoch, self.term, self._message))
