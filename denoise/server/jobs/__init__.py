"""Jobs: recordings that the server denoises in the background, while no request waits.

Each job has a folder on the disk, so it survives a restart of the server.
Start with `job`, the state of one job; `store` keeps them all, and `runner` does the work.
"""
