"""Collects the pages of the documentation site; MkDocs runs these hooks, as mkdocs.yml says.

Every page keeps its path in the repository, so that the links between the files are those of the
site. Files that pages link to, such as pictures, are part of the site. The API has a page for each
package of the library, made of the docstrings of its modules.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PACKAGE_OPTIONS = "{members: false, show_root_heading: false, show_root_toc_entry: false}"
LINK = re.compile(r"\]\(([^)#\s]+)")


def api_pages() -> dict[str, str]:
    """Return the Markdown of each page of the API by its path."""
    modules: dict[str, list[str]] = {}
    for path in sorted((ROOT / "denoise").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = ".".join(parts[:-1])
        if not parts[-1].startswith("__"):
            modules.setdefault(package, []).append(".".join(parts))
    return {
        f"api/{package}.md": "\n".join(
            [f"# {package}\n", f"::: {package}\n    options: {PACKAGE_OPTIONS}\n"]
            + [f"::: {module}\n" for module in names]
        )
        for package, names in sorted(modules.items())
    }


def on_config(config: Any) -> Any:
    """Add the pages of the API to the navigation."""
    pages = [{Path(path).stem: path} for path in api_pages()]
    config.nav = [*config.nav, {"API": pages}]
    return config


def paths_in(nav: Any) -> list[str]:
    """Return the paths of a part of the navigation, in its order."""
    if isinstance(nav, str):
        return [nav]
    entries = nav if isinstance(nav, list) else nav.values()
    return [path for entry in entries for path in paths_in(entry)]


def linked_files(page: Path) -> list[str]:
    """Return the files of the repository that a page links to, relative to the root."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    found = [(page.parent / target).resolve() for target in targets if "://" not in target]
    return [path.relative_to(ROOT).as_posix() for path in found if path.is_file()]


def on_files(files: Files, config: Any) -> Files:
    """Return the pages of the navigation and the files that they link to."""
    generated = api_pages()
    pages = [path for path in paths_in(config.nav) if path not in generated]
    assets = {path for page in pages for path in linked_files(ROOT / page)}
    assets |= {str(path) for path in config.extra_css if (ROOT / str(path)).exists()}
    theme = [file for file in files if file.src_dir != config.docs_dir]
    collected = [
        File.generated(config, path, abs_src_path=str(ROOT / path))
        for path in sorted({*pages, *assets})
    ]
    collected += [File.generated(config, p, content=text) for p, text in generated.items()]
    return Files([*theme, *collected])
