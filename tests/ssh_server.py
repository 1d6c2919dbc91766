"""An SSH server with SFTP alone: `python -m tests.ssh_server HOST_KEY AUTHORISED_KEYS FOLDER`.

It listens on a free port of 127.0.0.1, which is the first line that it prints, lets in whoever has
one of the authorised keys, and shows them the folder as their root.
"""

import asyncio
import sys

import asyncssh


async def serve(host_key: str, authorised_keys: str, folder: str) -> None:
    """Serve until the process is ended."""
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=authorised_keys,
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=folder.encode()),
        allow_scp=False,
    )
    print(server.get_port(), flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
