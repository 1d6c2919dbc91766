"""Run eSpeak NG in this process, so that the samples of a text do not depend on earlier calls.

The library keeps state that no call resets: the position in the table of pitch flutter, the count
of glottal cycles for roughness, the gain that is lowered on overload, and the last frame of the
Klatt synthesiser. So the library gets its own data folder, with voices that use neither flutter nor
roughness. It speaks at an eighth of its volume, and synthesises a word before each text that is
thrown away.
"""

import contextlib
import ctypes
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from denoise.errors import CorpusError

SHARED_FILES = ("phontab", "phonindex", "phondata", "intonations", "en_dict")
DICTIONARY = re.compile(r"^(dictionary|language) +([a-z]+)", re.MULTILINE)
# Roughness 8 is past the end of the library's table, which disables it; 0 still rolls its r's.
STATELESS_SETTINGS = "flutter 0\nroughness 8\necho 0 0\n"
VOLUME = 12
WARM_UP_TEXT = "six"

_SYNCHRONOUS, _DO_NOT_EXIT, _UTF8, _SSML = 2, 0x8000, 1, 0x10
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_REMEDY = "Set download.source to kaggle or local, which do not need it."

_engine_lock = threading.Lock()


def installed_file(*parts: str) -> Path:
    """Return the path of one of eSpeak NG's data files; raises CorpusError if it is missing."""
    try:
        import espeakng_loader

        path = Path(espeakng_loader.get_data_path()).joinpath(*parts)
    except (ImportError, RuntimeError) as error:
        raise CorpusError(f"eSpeak NG is not installed here ({error}). {_REMEDY}") from error
    if not path.is_file():
        raise CorpusError(f"eSpeak NG has no file {'/'.join(parts)} among its data. {_REMEDY}")
    return path


def _load_library() -> ctypes.CDLL:
    try:
        import espeakng_loader

        return ctypes.CDLL(espeakng_loader.get_library_path())
    except (ImportError, OSError) as error:
        raise CorpusError(
            f"eSpeak NG does not load on this platform ({error}). {_REMEDY}"
        ) from error


def _create_data_folder(folder: Path, voices: Mapping[str, str]) -> None:
    """Copy what the voices' languages need, and write the voices: a name to a voice file's text."""
    (folder / "voices").mkdir()
    (folder / "lang").mkdir()
    for name in {*SHARED_FILES, *map(_dictionary_name, voices.values())}:
        shutil.copyfile(installed_file(name), folder / name)
    for name, text in voices.items():
        (folder / "voices" / name).write_text(
            text + STATELESS_SETTINGS, encoding="utf-8", newline="\n"
        )


def _dictionary_name(voice: str) -> str:
    """Return the file name of the dictionary that a voice file needs.

    It is that of the line `dictionary`, or else of the first line `language`.
    """
    lines = sorted(DICTIONARY.findall(voice), key=lambda line: line[0])  # the sort is stable
    return f"{lines[0][1]}_dict"


def _encode_path(path: Path) -> bytes:
    return str(path).encode("mbcs" if sys.platform == "win32" else "utf-8")


class Espeak:
    """eSpeak NG with a set of voices, for a `with` block; only one at a time in a process."""

    def __init__(self, voices: Mapping[str, str]) -> None:
        """Set the voices, from a name (lower case, no `+`) to the text of a voice file."""
        self._voices = voices
        self._library = _load_library()
        self._samples: list[bytes] = []
        self._callback = _CALLBACK(self._collect)  # ctypes keeps no reference to it

    def __enter__(self) -> "Espeak":
        """Start the engine; raises CorpusError if it does not start or is already in use."""
        if not _engine_lock.acquire(blocking=False):
            raise CorpusError(
                "eSpeak NG is in use in this process. Wait until the other corpus is finished."
            )
        with contextlib.ExitStack() as stack:
            stack.callback(_engine_lock.release)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="espeak-")))
            _create_data_folder(folder, self._voices)
            self._start(folder)
            stack.callback(self._library.espeak_Terminate)
            self._running = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop the engine and remove its data folder."""
        self._running.close()

    def _start(self, folder: Path) -> None:
        path = _encode_path(folder)
        self.sample_rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, path, _DO_NOT_EXIT)
        # If the path is unusable, for example too long, the library uses its default folder.
        if self.sample_rate <= 0 or self._info()[1] != path:
            raise CorpusError(f"eSpeak NG does not start with its data in {folder}. {_REMEDY}")
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: int | None
    ) -> int:
        if samples and count > 0:
            self._samples.append(ctypes.string_at(samples, 2 * count))
        return 0  # continue

    @property
    def version(self) -> str:
        """The library's version."""
        return self._info()[0].decode("ascii")

    def _info(self) -> tuple[bytes, bytes]:
        """Return the library's version and its data folder."""
        info = self._library.espeak_Info
        info.restype = ctypes.c_char_p
        folder = ctypes.c_char_p()
        return info(ctypes.byref(folder)), folder.value or b""

    def say(
        self,
        text: str,
        voice: str,
        *,
        rate: int,
        pitch: int,
        pitch_range: int,
        seed: int,
        word_gap: int = 0,
        is_ssml: bool = False,
    ) -> npt.NDArray[np.int16]:
        """Return `text` spoken by `voice`, int16 [n_samples] at `sample_rate`.

        `rate` is in words per minute, 80 to 450. `pitch` and `pitch_range` go from 0 to 99, and 50
        is the voice's own. `seed`, 0 to 2**31 - 1, determines the noise of breath and frication.
        `word_gap` is a pause between words, in 10 ms. With `is_ssml`, the text is SSML.
        Raises CorpusError for an unknown voice and for text that cannot be synthesised.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise CorpusError(f"eSpeak NG has no voice {voice!r}. {_REMEDY}")
        settings = {_RATE: rate, _VOLUME: VOLUME, _PITCH: pitch, _RANGE: pitch_range}
        settings[_WORD_GAP] = word_gap
        for number, value in settings.items():
            self._library.espeak_SetParameter(number, value, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self._synthesise(WARM_UP_TEXT)  # the samples are discarded
        return np.frombuffer(self._synthesise(text, _SSML if is_ssml else 0), np.int16)

    def _synthesise(self, text: str, mode: int = 0) -> bytes:
        self._samples.clear()
        content = text.encode()
        size = ctypes.c_size_t(len(content) + 1)
        if self._library.espeak_Synth(content, size, 0, 0, 0, _UTF8 | mode, None, None) != 0:
            raise CorpusError(f"eSpeak NG failed to synthesise {text!r}. {_REMEDY}")
        return b"".join(self._samples)
