"""Run the command line with `python -m denoise`."""

import sys

from denoise.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
