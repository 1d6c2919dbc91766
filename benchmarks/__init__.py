"""The measurements behind the figures in the documentation; each module runs as `python -m`."""
