"""The documentation as a site: it builds without a warning, whole, with the API and its styles."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.model_card import PIPELINES
from tests.closures import ROOT, module_files

CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_every_document_is_a_page() -> None:
    nav = CONFIG.partition("\nnav:")[2].partition("\ntheme:")[0]
    pages = set(re.findall(r": (\S+\.md)$", nav, flags=re.MULTILINE))
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    cards = [ROOT / folder / "models" / "MODEL_CARD.md" for folder in PIPELINES]
    assert pages >= {path.relative_to(ROOT).as_posix() for path in documents + cards}


def test_pages_have_their_pictures_and_styles(site: Path) -> None:
    for page in ("index.html", "docs/server.html", "general/models/MODEL_CARD.html"):
        text = (site / page).read_text(encoding="utf-8")
        linked = re.findall(r'(?:src|href)="([^"#:?]+)(?:#[^"]*)?"', text)
        assert any(name.endswith(".css") for name in linked)
        missing = [name for name in linked if not (site / page).parent.joinpath(name).exists()]
        assert missing == []


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="https?://[^"]*"', text) == []


def test_the_api_has_every_module_with_its_docstrings(site: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (site / "api").glob("*.html"))
    for module, path in module_files().items():
        if path.parts[0] == "denoise" and not path.stem.startswith("__"):
            assert f'id="{module}"' in text, module
    assert 'id="denoise.inference.denoiser.Denoiser.denoise"' in text


def test_the_style_sheet_is_part_of_the_site(site: Path) -> None:
    (name,) = yaml.safe_load(re.search(r"^extra_css: (.*)$", CONFIG, re.MULTILINE)[1])
    assert (site / name).read_bytes() == (ROOT / name).read_bytes()
