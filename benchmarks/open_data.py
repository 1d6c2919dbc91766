"""Print the tables of docs/open-data.md, as Markdown, from the catalogue of open recordings.

`python -m benchmarks.open_data` prints the tables of the page; with names of entries it prints
their attributions alone, for the card of a model that was trained on them.
"""

import argparse

from denoise.corpus.open_catalogue import Catalogue, attributions, exclusions, read_catalogue


def page_tables(catalogue: Catalogue) -> list[str]:
    """Return all entries with their authors, where each licence is stated, and what is left out."""
    entries = list(catalogue.values())
    evidence = [f"- `{entry.name}`: {entry.source.evidence}" for entry in entries]
    lines = [*attributions(entries), "", "Where the licences are stated:", "", *evidence]
    return [*lines, "", "Files that are left out:", "", *exclusions(entries)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.open_data", description=__doc__)
    catalogue = read_catalogue()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(catalogue)}")
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in catalogue]:
        parser.error(f"{', '.join(unknown)}: the catalogue holds {', '.join(catalogue)}")
    chosen = [catalogue[name] for name in names]
    print("\n".join(attributions(chosen) if names else page_tables(catalogue)))


if __name__ == "__main__":
    main()
