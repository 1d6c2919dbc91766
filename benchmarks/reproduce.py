"""Run the committed pipeline in two clean clones and compare their dvc.lock byte for byte.

A clone shares no cache, run-cache or output with this folder or the other clone. The processor and
the installed packages are the same, so every byte must be the same too.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def clone_and_run(folder: Path, overrides: list[str]) -> str:
    """Clone HEAD into `folder`, run the pipeline, and return the SHA-256 of its dvc.lock."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    run_pipeline(folder, overrides)
    return hashlib.sha256((folder / "dvc.lock").read_bytes()).hexdigest()


def run_pipeline(folder: Path, overrides: list[str]) -> None:
    """Run the pipeline from scratch: `dvc exp run` with overrides of params, else `dvc repro`."""
    (folder / "dvc.lock").unlink(missing_ok=True)
    options = [part for override in overrides for part in ("--set-param", override)]
    command = ["exp", "run", *options] if overrides else ["repro"]
    # DVC also caches file hashes outside the folder; the clones must not share those either.
    site_cache = folder.with_name(f"{folder.name}-site")
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(site_cache)}
    subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, env=environment, check=True)


def main() -> None:
    """Compare the two runs with each other and with the committed dvc.lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    help_text = "change a parameter in both clones; may be repeated"
    parser.add_argument(
        "-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help=help_text
    )
    overrides = parser.parse_args().set_param
    hashes = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first clone", "second clone"):
            started = time.monotonic()
            hashes[name] = clone_and_run(Path(folder) / name.replace(" ", "-"), overrides)
            print(f"{name} took {time.monotonic() - started:.0f} s", flush=True)
    if not overrides:
        hashes["committed"] = hashlib.sha256((ROOT / "dvc.lock").read_bytes()).hexdigest()
    for name, digest in hashes.items():
        print(f"{digest}  dvc.lock of the {name}")
    if hashes["first clone"] != hashes["second clone"]:
        sys.exit("The results of the two clones differ.")
    if hashes.get("committed", hashes["first clone"]) != hashes["first clone"]:
        reason = "It was made with other packages, or docs/reproducibility.md names the cause."
        print(f"The committed dvc.lock differs. {reason}")


if __name__ == "__main__":
    main()
