"""The error that a user is meant to read."""


class DenoiseError(Exception):
    """Something the user can mend; the message says what happened, with which value, what to do."""


class ParamsError(DenoiseError):
    """A key of params.yaml that is unknown, missing, of the wrong type or out of range."""


class CorpusError(DenoiseError):
    """A corpus that cannot be had, or is not what it claims to be."""


class AudioError(DenoiseError):
    """Bytes that are not the audio they claim to be."""


class ModelError(DenoiseError):
    """A saved model that is missing, incomplete or of another format."""


class TrainingError(DenoiseError):
    """A training that cannot go on, such as one whose loss is not finite."""


class UsageError(DenoiseError):
    """A command line that cannot be carried out as it stands."""
