"""The errors that are reported to the user in one line, without a traceback."""


class DenoiseError(Exception):
    """An error that the user can correct.

    The message says what happened, with which value, and what to do next.
    """


class ParamsError(DenoiseError):
    """A key of params.yaml is unknown or missing, or its value has the wrong type or range."""


class CorpusError(DenoiseError):
    """A corpus cannot be obtained, or it is damaged or not what it should be."""


class AudioError(DenoiseError):
    """Audio cannot be decoded, or it cannot be used, because it is silent for example."""


class FileSizeError(DenoiseError):
    """A recording is longer than a file of its format can be."""


class ModelError(DenoiseError):
    """A saved model is missing, incomplete or of another format."""


class TrainingError(DenoiseError):
    """A training that cannot go on, such as one whose loss is not finite."""


class UsageError(DenoiseError):
    """A command cannot be carried out with the arguments given."""
