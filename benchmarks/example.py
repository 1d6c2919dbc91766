"""Make the web page's example recording: `python -m benchmarks.example`.

It is a synthetic voice that is not in the training data, in synthetic noise: clicks like those of
keys, and a steady background. The file, denoise/server/web/example.flac, is kept in git because
eSpeak NG is not installed with the server.
"""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from denoise.corpus.synthetic.acoustics import SAMPLE_RATE, simulate_recording
from denoise.corpus.synthetic.espeak import Espeak
from denoise.corpus.synthetic.planning import draw_speakers, name_voice
from denoise.corpus.synthetic.voices import voice_text
from denoise.noise.generators import GENERATORS
from denoise.noise.mixing import mix
from denoise.params import SyntheticParams
from denoise.util.atomic import replacing

TARGET = Path("denoise/server/web/example.flac")
TEXT = "The kettle is on, and the window is open. I will call you back in ten minutes."
SPEAKER = "06"
# The seed differs from that of the corpus, so the voices differ too.
VOICES = SyntheticParams("digits", speakers=8, repetitions=1, oov_utterances=0, seed=77)
SNR_DB = 3.0
NOISE_TYPE = "textures"
NOISE_SEED = 4
RATE = 16_000
PEAK = 0.5


def synthesise() -> np.ndarray:
    """Return the clean recording, float32 [n_samples] at SAMPLE_RATE."""
    voice, conditions = draw_speakers(VOICES)[SPEAKER]
    with Espeak({name_voice(voice): voice_text(voice)}) as espeak:
        speech = espeak.say(
            TEXT, name_voice(voice), rate=round(voice.rate), pitch=50, pitch_range=60, seed=7
        )
    padding = (int(0.4 * SAMPLE_RATE),) * 2
    rng = np.random.default_rng(VOICES.seed)
    recorded = simulate_recording(speech.astype(np.float32), conditions, padding, 0.0, rng)
    return recorded / np.float32(2**15)


def main() -> None:
    """Write the example recording."""
    clean = soxr.resample(synthesise(), SAMPLE_RATE, RATE)
    rng = np.random.default_rng(NOISE_SEED)
    noise = GENERATORS[NOISE_TYPE](rng, len(clean), RATE)
    noisy = mix(clean, noise, SNR_DB)
    with replacing(TARGET) as temporary:
        soundfile.write(
            temporary, PEAK * noisy / np.abs(noisy).max(), RATE, "PCM_16", format="FLAC"
        )
    print(f"{TARGET}: {len(noisy) / RATE:.1f} s, {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
