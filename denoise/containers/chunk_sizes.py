"""Correct the sizes in the headers of WAV and AIFF files, which libsndfile relies on.

The header of a WAV file may give a length of 0, because the program that wrote it was stopped. Its
size has 32 bits, which do not suffice for 4 GiB. A WAV file whose codec works in blocks, such as
ADPCM, decodes to more samples than were recorded; the `fact` chunk has the number.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal

from denoise.containers.part_file import Part
from denoise.errors import AudioError

ByteOrder = Literal["little", "big"]
BLOCK_CODES = {0x02, 0x11, 0x31, 0x38, 0x40, 0x45}  # ADPCM, GSM and G.72x in WAV
MIN_LOST_BYTES = 4096  # behind the audio, that are taken for audio rather than for junk
SSND_HEADER_BYTES = 8  # before the audio, in its chunk
MAX_CHUNKS = 1000  # before the audio, and behind it
MAX_SIZE = 2**32 - 1  # of a chunk
IN_DS64 = b"\xff" * 4  # in place of a size: the chunk ds64 has it
MAX_HEADER_BYTES = 1 << 20  # of a WAV file of more than 4 GiB
MAX_TRAILER_BYTES = 1 << 20  # of chunks behind the audio of such a file
LONGER = "It is longer than its header can say. Convert it: ffmpeg -i IN -rf64 auto OUT.wav"
AIFC_BYTE_CODES = (b"NONE", b"raw ", b"ulaw", b"ULAW", b"alaw", b"ALAW")


def _chunks(
    file: BinaryIO, position: int, n_bytes: int, order: ByteOrder
) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the position of the content of each chunk, up to the audio's."""
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return
        yield header[:4], position + 8
        size = int.from_bytes(header[4:], order)
        position += 8 + size + size % 2
        if header[:4] in (b"data", b"SSND") or position >= n_bytes:
            return


def number_at(file: BinaryIO, position: int, n_bytes: int, order: ByteOrder) -> int:
    """Return the unsigned number of `n_bytes` bytes at a position."""
    file.seek(position)
    return int.from_bytes(file.read(n_bytes), order)


def examine_wav(file: BinaryIO, n_bytes: int) -> Part:
    """Return a WAV or RF64 file with the sizes that it lacks, and its exact length if it is told.

    Data of size 0 that bytes follow come from a program that was stopped, or that wrote to a pipe.
    Raises AudioError for a size that the file format cannot hold.
    """
    order: ByteOrder = "big" if _is_at(file, 0, b"RIFX") else "little"
    found = dict(_chunks(file, 12, n_bytes, order))
    replaced: dict[int, bytes] = {}
    data = found.get(b"data")
    if data is not None and (size := _large_size(file, data, n_bytes, order)):
        return Part(data, data + size, {}, header=_rf64_header(file, data, size, order))
    if data is not None and _ends_early(file, data, n_bytes, order):
        replaced[data - 4] = (n_bytes - data).to_bytes(4, order)
    ds64 = found.get(b"ds64")
    if ds64 is not None and data is not None and number_at(file, ds64 + 8, 8, order) == 0:
        replaced[ds64 + 8] = (n_bytes - data).to_bytes(8, "little")
    n_samples, slack = None, 0
    fmt, fact = found.get(b"fmt "), found.get(b"fact")
    if fmt is not None and fact is not None and number_at(file, fmt, 2, order) in BLOCK_CODES:
        n_samples = number_at(file, fact, 4, order) or None
        slack = 2 * max(number_at(file, fmt + 18, 2, order), 1024)
    return Part(0, n_bytes, replaced, n_samples, slack)


def _large_size(file: BinaryIO, data: int, n_bytes: int, order: ByteOrder) -> int | None:
    """Return the size of audio that needs more than 32 bits, None if it does not or if it has them.

    Programs write 0 or the largest number in its place, or its last 32 bits.
    """
    n_rest = n_bytes - data
    if n_rest <= MAX_SIZE or _is_at(file, 0, b"RF64"):
        return None
    size = number_at(file, data - 4, 4, order)
    if size in (0, MAX_SIZE):
        return n_rest
    n_trailing = (n_rest - size) % (MAX_SIZE + 1)
    return n_rest - n_trailing if n_trailing <= MAX_TRAILER_BYTES else None


def _rf64_header(file: BinaryIO, data: int, size: int, order: ByteOrder) -> bytes:
    """Return the header of the same recording as RF64, whose sizes have 64 bits.

    Raises AudioError if there is none: RF64 is never big-endian.
    """
    if order == "big" or data > MAX_HEADER_BYTES:
        raise AudioError(LONGER)
    file.seek(12)
    chunks = file.read(data - 8 - 12)
    n_header = 12 + 36 + len(chunks) + 8
    sizes = (n_header - 8 + size, size, 0)  # of the file, of the audio; the samples are not needed
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, *sizes, 0)
    return b"RF64" + IN_DS64 + b"WAVE" + ds64 + chunks + b"data" + IN_DS64


def _ends_early(file: BinaryIO, data: int, n_bytes: int, order: ByteOrder) -> bool:
    """Return whether the audio goes on behind the end that its chunk says.

    With a size of 0 it does, unless chunks follow up to the end of the file. With another size it
    does where the RIFF header counts more bytes, and what follows has no name of a chunk.
    """
    size = number_at(file, data - 4, 4, order)
    if size == 0:
        return not _is_chunks(file, data, n_bytes, order)
    end = data + size + size % 2
    if n_bytes - end < MIN_LOST_BYTES or number_at(file, 4, 4, order) + 8 < n_bytes:
        return False
    file.seek(end - size % 2)
    following = file.read(5)
    return not any(_is_name(following[i : i + 4]) for i in (0, 1))


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _is_at(file: BinaryIO, position: int, mark: bytes) -> bool:
    file.seek(position)
    return file.read(len(mark)) == mark


def _is_chunks(file: BinaryIO, position: int, n_bytes: int, order: ByteOrder) -> bool:
    """Return whether chunks, and nothing else, lie between `position` and the end of the file."""
    for _ in range(MAX_CHUNKS):
        if position >= n_bytes:
            break
        file.seek(position)
        header = file.read(8)
        if len(header) < 8 or not _is_name(header[:4]):
            return False
        size = int.from_bytes(header[4:], order)
        position += 8 + size + size % 2
    return n_bytes <= position <= n_bytes + 1


def examine_aiff(file: BinaryIO, n_bytes: int) -> Part:
    """Return an AIFF file with the length in its header, which libsndfile rounds up to even bytes.

    In AIFF-C the header may count blocks instead, and is not used. Raises AudioError for a size
    that the file format cannot hold.
    """
    found = dict(_chunks(file, 12, n_bytes, "big"))
    comm, ssnd, replaced = found.get(b"COMM"), found.get(b"SSND"), {}
    if ssnd is not None and number_at(file, ssnd - 4, 4, "big") == SSND_HEADER_BYTES:
        audio = ssnd + SSND_HEADER_BYTES
        if not _is_chunks(file, audio, n_bytes, "big"):
            if n_bytes - ssnd > MAX_SIZE:
                raise AudioError(LONGER)
            replaced[ssnd - 4] = (n_bytes - ssnd).to_bytes(4, "big")
    is_plain = _is_at(file, 8, b"AIFF") or (
        comm is not None and any(_is_at(file, comm + 18, code) for code in AIFC_BYTE_CODES)
    )
    if comm is None or not is_plain:
        return Part(0, n_bytes, replaced)
    return Part(0, n_bytes, replaced, number_at(file, comm + 2, 4, "big") or None, 2)
