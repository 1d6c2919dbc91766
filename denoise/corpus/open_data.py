"""Fetch openly licensed recordings that the catalogue names, from public git repositories.

The repositories are kept in a scratch folder, so that an interrupted fetch goes on where it
stopped, and a second one needs no network.
"""

import csv
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from denoise.corpus.file_index import AUDIO_SUFFIXES
from denoise.corpus.git import PinnedRepository, TreeFile
from denoise.corpus.open_catalogue import Catalogue, Entry, read_catalogue, select
from denoise.corpus.retry import DEFAULT_RETRY, RetryPolicy
from denoise.errors import CorpusError
from denoise.util.atomic import replacing_folder

SCRATCH = Path(".scratch/open")  # not among the stage's outs, which DVC empties before each run


@dataclass(frozen=True)
class Fetched:
    """The folder of the recordings, or None if no entry was named, and their provenance."""

    folder: Path | None
    provenance: dict[str, Any]


@contextmanager
def open_recordings(
    catalogue: Path, kind: str, names: Sequence[str], mirrors: str, scratch: Path = SCRATCH
) -> Iterator[Fetched]:
    """Fetch the entries called `names`, and remove their files at the end of the block.

    The repositories in `scratch` stay, so nothing is stored twice for longer than the import takes.
    """
    if not names:
        yield Fetched(None, {})
        return
    folder = scratch / kind
    try:
        provenance = fetch_open(read_catalogue(catalogue), kind, names, mirrors, folder)
        yield Fetched(folder, provenance)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fetch_open(
    catalogue: Catalogue,
    kind: str,
    names: Sequence[str],
    mirrors: str,
    target: Path,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> dict[str, Any]:
    """Write the recordings of the entries to `target`, a folder for each; return the provenance.

    A table beside the folders of speech, `speakers.csv`, tells the speaker of each recording.
    `mirrors` is a folder of git repositories that are read in place of the public ones, or an empty
    string. `target` appears, or is replaced, when everything is complete and checked. Raises
    CorpusError with what to do next.
    """
    entries = select(catalogue, kind, names)
    with replacing_folder(target) as new:
        sources = [
            _fetch(entry, mirrors, target.parent, new / entry.name, retry) for entry in entries
        ]
        if kind == "speech":
            _write_speakers(entries, new)
    return {"repositories": sources}


def _write_speakers(entries: Sequence[Entry], folder: Path) -> None:
    """Write the table of the speakers, which `speaker_table` describes."""
    with (folder / "speakers.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["path", "speaker"])
        for entry in entries:
            top = folder / entry.name
            files = (path for path in top.rglob("*") if path.is_file())
            for path in sorted(path.relative_to(top).as_posix() for path in files):
                rows.writerow([f"{entry.name}/{path}", entry.speaker_of(path)])


def _fetch(
    entry: Entry, mirrors: str, scratch: Path, target: Path, retry: RetryPolicy
) -> dict[str, Any]:
    """Fetch an entry's repository, check it against the catalogue, and write its recordings."""
    source = entry.source
    mirror = find_mirror(Path(mirrors).expanduser(), source.url) if mirrors else None
    folder = scratch / "repositories" / f"{entry.name}.git"
    repository = PinnedRepository(folder, source.url, source.commit, mirror, retry)
    repository.open()
    repository.fetch_commit()
    files = _choose(entry, repository)
    hidden = not sys.stderr.isatty()
    with tqdm(total=len(files), desc=entry.name, unit="file", disable=hidden) as progress:
        repository.fetch_files(files, progress.update)
    repository.check_out(files, target)
    print(f"{entry.name}: {len(files)} recordings, {source.licence}", file=sys.stderr)
    return {
        "name": entry.name,
        "url": source.url,
        "commit": source.commit,
        "files": len(files),
        "licence": source.licence,
        "attribution": source.attribution,
    }


def _choose(entry: Entry, repository: PinnedRepository) -> list[TreeFile]:
    """Return the entry's recordings; raises CorpusError unless they are what the catalogue says."""
    source, where = entry.source, f"{entry.source.url} at {entry.source.commit}"
    found: dict[str, TreeFile] = {}
    for folder in source.folders:
        files = repository.list_files(folder)
        if not files:
            raise CorpusError(f"{where} has no folder {folder}. Correct {entry.name}.folders.")
        found |= {file.path: file for file in files if _is_recording(file.path)}
    chosen = {path: file for path, file in found.items() if not _is_below(path, entry.excluded)}
    for path in entry.excluded:
        if not any(_is_below(other, [path]) for other in found):
            raise CorpusError(f"{where} has no {path}. Correct {entry.name}.excluded.")
    if entry.works and entry.works.keys() != chosen.keys():
        (path, *_) = sorted(entry.works.keys() ^ chosen.keys())
        raise CorpusError(f"{where}: {path} and {entry.name}.works do not agree. Correct them.")
    if len(chosen) != source.files:
        raise CorpusError(
            f"{where} has {len(chosen)} recordings in {', '.join(source.folders)}, not the "
            f"{source.files} that the catalogue requires. Correct {entry.name}.files."
        )
    return [chosen[path] for path in sorted(chosen)]


def _is_recording(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES


def _is_below(path: str, others: Iterable[str]) -> bool:
    """Tell whether a path is one of `others`, or in one of these folders."""
    return any(path == other or path.startswith(f"{other}/") for other in others)


def find_mirror(mirrors: Path, url: str) -> Path:
    """Return the git repository in the folder `mirrors` that is the mirror of `url`.

    It is named after the repository's owner and name: OWNER+NAME or OWNER/NAME, with or without
    `.git`. It may be bare, or the folder in which a repository lies. Raises CorpusError if there is
    none.
    """
    owner, name = url.removesuffix("/").removesuffix(".git").split("/")[-2:]
    for stem in (mirrors / f"{owner}+{name}", mirrors / owner / name):
        for folder in (stem, stem.with_name(f"{stem.name}.git")):
            for candidate in _folders_of(folder):
                if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
                    return candidate
    raise CorpusError(
        f"No mirror of {url} in {mirrors}. Make one with git clone --mirror {url} "
        f"{mirrors / f'{owner}+{name}'}, or set download.open.mirrors to '' to use the network."
    )


def _folders_of(folder: Path) -> Iterator[Path]:
    yield folder
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_dir())
