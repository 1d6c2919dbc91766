"""Named changes of params.yaml, run as DVC experiments: `python -m presets NAME`."""
