"""Make the web page's example recording: `python -m benchmarks.example`.

It is a synthetic voice that is not in the training data, in pink noise. The file,
denoise/server/web/example.flac, is kept in git because eSpeak NG is not installed with the server.
"""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from denoise.corpus.synthetic.acoustics import SAMPLE_RATE, record
from denoise.corpus.synthetic.build import draw_speakers, name, voice_text
from denoise.corpus.synthetic.espeak import Espeak
from denoise.noise import generators
from denoise.params import SyntheticParams
from denoise.util.atomic import replacing

TARGET = Path("denoise/server/web/example.flac")
TEXT = "nine, four, one, seven, two."
SPEAKER = "06"
# The seed differs from that of the corpus, so the voices differ too.
VOICES = SyntheticParams(speakers=8, repetitions=1, oov_utterances=0, seed=77)
SNR_DB = 3.0
NOISE_TYPE = "pink"
RATE = 16_000
PEAK = 0.5


def synthesise() -> np.ndarray:
    """Return the clean recording, float32 [n_samples] at SAMPLE_RATE."""
    voice, recording = draw_speakers(VOICES)[SPEAKER]
    with Espeak({name(voice): voice_text(voice)}) as espeak:
        speech = espeak.say(
            TEXT, name(voice), rate=round(voice.rate), pitch=50, pitch_range=60, seed=7
        )
    padding = (int(0.4 * SAMPLE_RATE),) * 2
    rng = np.random.default_rng(VOICES.seed)
    return record(speech.astype(np.float32), recording, padding, 0.0, rng) / np.float32(2**15)


def main() -> None:
    """Write the example recording."""
    clean = soxr.resample(synthesise(), SAMPLE_RATE, RATE)
    rng = np.random.default_rng(VOICES.seed)
    noise = generators.KINDS[NOISE_TYPE](rng, len(clean), RATE)
    noisy = generators.mix(clean, noise, SNR_DB)
    with replacing(TARGET) as temporary:
        soundfile.write(
            temporary, PEAK * noisy / np.abs(noisy).max(), RATE, "PCM_16", format="FLAC"
        )
    print(f"{TARGET}: {len(noisy) / RATE:.1f} s, {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
