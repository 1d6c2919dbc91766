"""The catalogue of openly licensed recordings: where each is, under which licence, by whom.

Each entry is a public git repository at one commit. `open_data.yaml` beside this module is the
catalogue of the project; it goes with the wheel, because its attributions must.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import yaml

from denoise.errors import CorpusError, ParamsError
from denoise.schema import Choices, Range, build

CATALOGUE = Path(__file__).with_name("open_data.yaml")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
URL = re.compile(r"(https|file)://[^\s\"\\]+/[^\s\"\\/]+/[^\s\"\\/]+")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Work:
    """One recording that has a title, an author and a licence of its own."""

    title: str
    author: str
    licence: str
    source: str


@dataclass(frozen=True)
class Source:
    """The keys of an entry that have one value; `evidence` says where the licence is stated.

    `speakers` is `one` person; `prefix` where the first part of a file name, up to a hyphen, names
    the person; `unknown` where each recording counts as another person; or `none` for noise.
    """

    title: str
    kind: Annotated[str, Choices("speech", "noise")]
    url: str
    commit: str
    folders: tuple[str, ...]
    speakers: Annotated[str, Choices("one", "prefix", "unknown", "none")]
    files: Annotated[int, Range(1, 10_000_000)]
    minutes: Annotated[float, Range(0, 1_000_000)]
    licence: str
    attribution: str
    evidence: str


@dataclass(frozen=True)
class Entry:
    """An entry of the catalogue.

    `excluded` gives the reason for each file or folder that is left out, and `works` the author of
    each file that has one of its own; both by path.
    """

    name: str
    source: Source
    excluded: Mapping[str, str]
    works: Mapping[str, Work]

    @property
    def licences(self) -> list[str]:
        """The licences of the files, without repetition."""
        return list(
            dict.fromkeys([w.licence for w in self.works.values()] or [self.source.licence])
        )

    def speaker_of(self, path: str) -> str:
        """Return the name of the speaker of a recording, which no other entry uses."""
        if self.source.speakers == "one":
            return self.name
        if self.source.speakers == "prefix":
            return f"{self.name}/{PurePosixPath(path).name.split('-')[0]}"
        return f"{self.name}/{path}"


Catalogue = Mapping[str, Entry]


def read_catalogue(path: str | os.PathLike[str] = CATALOGUE) -> Catalogue:
    """Read a catalogue; raises CorpusError that names the entry, the key and the value."""
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if not isinstance(tree, dict):
            raise CorpusError(f"{path}: it is not a mapping of names to entries.")
        return {name: _build_entry(name, content) for name, content in tree.items()}
    except FileNotFoundError:
        raise CorpusError(f"No catalogue at {path}.") from None
    except (yaml.YAMLError, ParamsError, ValueError) as error:
        raise CorpusError(f"{path}: {error}") from error


def _build_entry(name: Any, tree: Any) -> Entry:
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise ValueError(f"{name!r} is not a name of lower-case letters, digits and hyphens.")
    if not isinstance(tree, dict):
        raise ValueError(f"{name}: {tree!r} is not a section of keys.")
    rest = {key: value for key, value in tree.items() if key not in ("excluded", "works")}
    source: Source = build(Source, rest, name)
    if not URL.fullmatch(source.url):
        raise ValueError(f"{name}.url: {source.url!r} is not https://HOST/OWNER/NAME.")
    if not COMMIT.fullmatch(source.commit):
        raise ValueError(f"{name}.commit: {source.commit!r} is not a commit's 40 hex digits.")
    excluded, works = tree.get("excluded", {}), tree.get("works", {})
    for key, section in (("excluded", excluded), ("works", works)):
        if not isinstance(section, dict):
            raise ValueError(f"{name}.{key}: {section!r} is not a mapping of paths.")
    return Entry(
        name,
        source,
        {str(path): str(reason) for path, reason in excluded.items()},
        {str(p): build(Work, work, f"{name}.works.{p}") for p, work in works.items()},
    )


def select(catalogue: Catalogue, kind: str, names: Sequence[str]) -> list[Entry]:
    """Return the entries called `names`; raises CorpusError for an unknown name or another kind."""
    known = [name for name, entry in catalogue.items() if entry.source.kind == kind]
    for name in names:
        if name not in known:
            raise CorpusError(
                f"download.open.{kind}: {name!r} is not in the catalogue of open recordings; "
                f"the {kind} there is {', '.join(known) or 'none'}."
            )
    return [catalogue[name] for name in names]


def overview_table(entries: Iterable[Entry]) -> list[str]:
    """Return a Markdown table with one row per entry: content, size, licence, attribution."""
    lines = ["| name | content | files | minutes | licence | attribution |"]
    lines.append("|---|---|--:|--:|---|---|")
    for entry in entries:
        source = entry.source
        link = f"[{source.title}]({source.url}/tree/{source.commit})"
        cells = [f"`{entry.name}`", link, f"{source.files:,}", f"{source.minutes:g}"]
        cells += [", ".join(entry.licences), source.attribution]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def works_table(entry: Entry) -> list[str]:
    """Return a Markdown table with one row per recording of an entry that names their authors."""
    lines = ["| recording | author | licence |", "|---|---|---|"]
    for work in entry.works.values():
        lines.append(f"| [{work.title}]({work.source}) | {work.author} | {work.licence} |")
    return lines


def attributions(entries: Iterable[Entry]) -> list[str]:
    """Return Markdown that credits everyone whose recordings the entries hold, for a model card."""
    entries = list(entries)
    lines = overview_table(entries)
    for entry in entries:
        if entry.works:
            lines += ["", f"The recordings of `{entry.name}`:", "", *works_table(entry)]
    return lines


def exclusions(entries: Iterable[Entry]) -> list[str]:
    """Return a Markdown list of what is left out of the entries' folders, and why."""
    lines = []
    for entry in entries:
        reasons: dict[str, list[str]] = {}
        for path, reason in entry.excluded.items():
            reasons.setdefault(reason, []).append(f"`{path}`")
        lines += [f"- `{entry.name}`: {', '.join(p)}: {reason}" for reason, p in reasons.items()]
    return lines
