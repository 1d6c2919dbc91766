"""Put one corpus archive in place, and one of noise recordings, and where both came from."""

import argparse
import sys
from pathlib import Path
from typing import Any

from denoise.corpus.noise_import import import_noise
from denoise.corpus.provenance import write_provenance
from denoise.params import DownloadParams, Params
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Obtain noise and the corpus that `download.source` names; write the provenance of both."""
    noise = import_noise(params.download.noise, paths.noise)
    source = obtain(params.download, paths.archive)
    provenance = write_provenance(paths.provenance, paths.archive, {**source, "noise": noise})
    print(
        f"{paths.archive}: {provenance['files']} recordings of {provenance['speakers']} speakers",
        file=sys.stderr,
    )


def obtain(params: DownloadParams, archive: Path) -> dict[str, Any]:
    """Write the archive; each source is imported only where it is asked for."""
    if params.source == "kaggle":
        from denoise.corpus.kaggle import download_kaggle

        return download_kaggle(params.kaggle, archive)
    if params.source == "local":
        from denoise.corpus.local import import_local

        return import_local(params.local, archive)
    from denoise.corpus.synthetic import synthesize_corpus

    return synthesize_corpus(params.synthetic, archive)


if __name__ == "__main__":
    run(main, "archive", "noise", "provenance")
