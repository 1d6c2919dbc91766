"""The process in which the time of one method is measured; see benchmarks.cost."""

import argparse

from benchmarks.cost import add_process_options, report_cost
from benchmarks.real.methods import add_method_options, list_methods


def main() -> None:
    """Measure one method in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_method_options(parser)
    add_process_options(parser)
    options = parser.parse_args()
    report_cost(list_methods(options), options)


if __name__ == "__main__":
    main()
