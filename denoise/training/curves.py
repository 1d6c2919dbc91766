"""The learning curves, which DVCLive writes for `dvc plots`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dvclive import Live

Log = Callable[[str, dict[str, float]], None]
"""(prefix of the names, an epoch's entry of the history) -> None."""


@contextmanager
def log_curves(folder: str | os.PathLike[str], is_chief: bool = True) -> Iterator[Log]:
    """Yield a function that adds an epoch to the curves in `folder`; only the chief's writes."""
    if not is_chief:
        yield lambda prefix, epoch: None
        return
    with Live(str(folder), report=None, dvcyaml=False, save_dvc_exp=False) as live:

        def log(prefix: str, epoch: dict[str, float]) -> None:
            for name in ("loss", "validation_loss", "learning_rate"):
                live.log_metric(prefix + name, epoch[name])
            live.next_step()

        yield log
