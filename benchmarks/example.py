"""The page's example: a voice that no training heard, in noise. `python -m benchmarks.example`.

It writes denoise/server/web/example.flac, which is in git, since eSpeak NG is not there when pages
are served.
"""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from denoise.corpus.synthetic.acoustics import SAMPLE_RATE, simulate_recording
from denoise.corpus.synthetic.build import draw_speakers, name_voice
from denoise.corpus.synthetic.espeak import Espeak
from denoise.corpus.synthetic.voices import voice_text
from denoise.noise.generators import GENERATORS
from denoise.noise.mixing import mix
from denoise.params import SyntheticParams
from denoise.util.atomic import replacing

TARGET = Path("denoise/server/web/example.flac")
WORDS = "nine, four, one, seven, two."
SPEAKER = "06"
PEOPLE = SyntheticParams(
    speakers=8, repetitions=1, oov_utterances=0, seed=77
)  # the corpus' seed is another
SNR_DB = 3.0
KIND = "pink"
RATE = 16_000
PEAK = 0.5


def speak() -> np.ndarray:
    """Return the words as they were recorded, float32 [n_samples] at SAMPLE_RATE."""
    voice, conditions = draw_speakers(PEOPLE)[SPEAKER]
    with Espeak({name_voice(voice): voice_text(voice)}) as espeak:
        spoken = espeak.say(
            WORDS, name_voice(voice), rate=round(voice.rate), pitch=50, pitch_range=60, seed=7
        )
    padding = (int(0.4 * SAMPLE_RATE),) * 2
    rng = np.random.default_rng(PEOPLE.seed)
    recorded = simulate_recording(spoken.astype(np.float32), conditions, padding, 0.0, rng)
    return recorded / np.float32(2**15)


def main() -> None:
    """Write the example."""
    clean = soxr.resample(speak(), SAMPLE_RATE, RATE)
    drawn = GENERATORS[KIND](np.random.default_rng(PEOPLE.seed), len(clean), RATE)
    noisy = mix(clean, drawn, SNR_DB)
    with replacing(TARGET) as temporary:
        soundfile.write(
            temporary, PEAK * noisy / np.abs(noisy).max(), RATE, "PCM_16", format="FLAC"
        )
    print(f"{TARGET}: {len(noisy) / RATE:.1f} s, {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
