"""Run the committed pipeline in two clean clones and compare their dvc.lock, byte for byte.

A clone shares nothing with this folder or the other clone: no cache, no run-cache, no outs. The
processor and the installed packages are the same, so every byte must be.
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
    """Clone HEAD into `folder`, run the pipeline there, return the SHA-256 of its dvc.lock."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    run_pipeline(folder, overrides)
    return hashlib.sha256((folder / "dvc.lock").read_bytes()).hexdigest()


def run_pipeline(folder: Path, overrides: list[str]) -> None:
    """Run `dvc repro` from scratch, or with overrides of params `dvc exp run`."""
    (folder / "dvc.lock").unlink(missing_ok=True)
    settings = [word for override in overrides for word in ("--set-param", override)]
    command = ["exp", "run", *settings] if overrides else ["repro"]
    # DVC keeps what it knows of a folder outside it, too: that must not be shared either.
    apart = {**os.environ, "DVC_SITE_CACHE_DIR": str(folder.with_name(f"{folder.name}-site"))}
    subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, env=apart, check=True)


def main() -> None:
    """Compare two runs, and them with the committed dvc.lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE")
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
        sys.exit("The two clones differ.")
    if hashes.get("committed", hashes["first clone"]) != hashes["first clone"]:
        print("The committed dvc.lock differs: it comes from another processor or other packages.")


if __name__ == "__main__":
    main()
