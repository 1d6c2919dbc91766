"""python -m denoise: the command line."""

import sys

from denoise.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
