"""Copy the streams of a video from one container to another, and tell what is not kept."""

import io
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from denoise.dsp import formats
from denoise.errors import AudioError, DenoiseError
from denoise.inference.avi_pictures import PictureTimes, has_wrong_times, without_packing

Sound = TypeVar("Sound")

# of a container: what its muxer writes itself
OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
# of a sound track in Matroska: what was true of its former packets
STATISTICS = ("bps", "number_of_", "_statistics_", "duration", "encoder")
KINDS = {"audio": "sound track", "video": "picture", "subtitle": "subtitles", "data": "data"}
HEVC_TAGS = ("hvc1", "hev1")  # Apple's players take the first alone
UNORDERED = ("h264", "hevc")  # in AVI
# of containers whose muxers take more: the pictures that their players show
SHOWN = {
    "asf": {"wmv1", "wmv2", "wmv3", "vc1", "mss2", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3"},
    "flv": {"flv1", "vp6f", "vp6a", "flashsv", "flashsv2", "h264"},
}
NO_TEXT = b"\0\0"
ENDS = (".wav", ".mkv")  # of the denoised sound, and of what it is joined to
MAX_NAMED = 5  # tags that one note names


def is_cover(av: Any, stream: Any) -> bool:
    """Tell whether a stream is a still picture that belongs to an album, or a thumbnail."""
    kinds = av.stream.Disposition
    return bool(stream.disposition & (kinds.attached_pic | kinds.timed_thumbnails))


def is_filler(packet: Any) -> bool:
    """Tell whether a packet marks the end of a stream, or a pause in the subtitles of MP4.

    The muxer of MP4 writes such pauses itself.
    """
    if not packet.size:
        return True
    is_subtitle = packet.stream.type == "subtitle" and packet.size == len(NO_TEXT)
    return is_subtitle and bytes(packet) == NO_TEXT


def read_packets(av: Any, source: Any, copies: Mapping[int, Any]) -> Iterator[Any]:
    """Yield the packets of the streams with these indices; raises AudioError for damage."""
    seconds, streams = 0.0, [source.streams[index] for index in copies]
    retimed = {
        each.index: PictureTimes(av, each) for each in streams if has_wrong_times(each, source)
    }
    try:
        for packet in source.demux(streams):
            if packet.stream_index in copies and not is_filler(packet):
                seconds = decoding_seconds(packet)
                if packet.stream_index in retimed:
                    yield from retimed[packet.stream_index].add(packet)
                    continue
                if _is_late(packet, source):
                    packet.pts = packet.dts
                yield packet
        for pictures in retimed.values():
            yield from pictures.add(None)
    except av.error.FFmpegError as error:
        raise AudioError(f"It is damaged: it cannot be read from {seconds:.1f} s on.") from error


def decoding_seconds(packet: Any) -> float:
    """Return when a packet has to be decoded, 0 if it does not say."""
    time_stamp = packet.pts if packet.dts is None else packet.dts
    return 0.0 if time_stamp is None else float(time_stamp * packet.time_base)


def _is_late(packet: Any, source: Any) -> bool:
    """Tell whether FFmpeg took pictures that are shown at once for ones that wait for others.

    AVI tells only when a picture is decoded. FFmpeg guesses that H.264 is shown a frame later.
    """
    if source.format.name != "avi" or packet.stream.type != "video" or packet.dts is None:
        return False
    return not packet.stream.codec_context.has_b_frames


def read_covers(av: Any, opened: Any) -> dict[int, bytes]:
    """Return the covers and thumbnails that an open video holds, by the index of their stream.

    One that cannot be read is left out, and its stream is copied as it is.
    """
    covers = [each for each in opened.streams.video if is_cover(av, each)]
    pictures: dict[int, bytes] = {}
    for cover in covers:
        with suppress(av.error.FFmpegError):
            opened.seek(0)
            packet = next((each for each in opened.demux(cover) if each.size), None)
            if packet is not None:
                pictures[cover.index] = bytes(packet)
    return pictures


def copy_streams(
    av: Any,
    source: Any,
    output: Any,
    covers: Mapping[int, bytes],
    sound_index: int,
    add_sound: Callable[[], Sound],
) -> tuple[dict[int, Any], Sound, list[str]]:
    """Add the streams of `source` to `output`, and what `add_sound` adds in place of the sound.

    Return the copied streams by the index of the original, what `add_sound` returned, and notes on
    the streams that `output` does not hold. Raises DenoiseError if the picture is one of them.
    """
    copies, notes, sounds = {}, [], []
    for stream in source.streams:
        if stream.index == sound_index:
            sounds.append(add_sound())
            continue
        try:
            if stream.index in covers and output.format.name == "matroska":
                _attach_cover(stream, output, covers[stream.index])
            else:
                copies[stream.index] = _copy(stream, source, output)
        except (av.error.FFmpegError, ValueError) as error:
            if stream.type == "video" and not is_cover(av, stream):
                raise DenoiseError(
                    f"{output.format.name} files cannot hold the {_name(stream)}. "
                    f"{_advise(av, stream, source)}"
                ) from error
            if not _is_remade(stream, source):
                notes.append(f"{_name(stream)} left out")
    output.metadata.update(_kept(source.metadata))
    if chapters := source.chapters():
        output.set_chapters(chapters)
    return copies, sounds[0], notes


def _advise(av: Any, stream: Any, source: Any) -> str:
    """Return a sentence on how else a video with a picture like `stream` can be written."""
    if stream.codec_context is None:  # FFmpeg does not know the codec
        return how_to_join(source)
    names = {stream.codec_context.name, stream.codec_context.codec.canonical_name}
    fitting: list[str] = []
    for extension, muxer in formats.VIDEOS.items():
        if fitting and muxer in SHOWN:
            continue  # rather one of the others
        with av.open(io.BytesIO(), "w", format=muxer) as output:
            if names & output.supported_codecs and _is_shown(stream, source, muxer):
                fitting.append(f".{extension}")
    if fitting:
        return f"Give the output another extension: {' or '.join(fitting)}."
    return how_to_join(source)


def how_to_join(source: Any) -> str:
    """Return a sentence that says how to write an open video with the program FFmpeg."""
    names = [source.name, *(f"{Path(source.name).with_suffix('')}-denoised{end}" for end in ENDS)]
    film, sound, result = map(shlex.quote, names)
    return (
        "Omit --remux, and join the picture and the denoised sound with the program FFmpeg: "
        f"ffmpeg -i {film} -i {sound} -map 0:v -map 1:a -c:v copy {result}"
    )


def _attach_cover(stream: Any, output: Any, picture: bytes) -> None:
    kind = "png" if stream.codec_context.name == "png" else "jpeg"
    name = stream.metadata.get("filename", "cover.png" if kind == "png" else "cover.jpg")
    output.add_attachment(name, stream.metadata.get("mimetype", f"image/{kind}"), picture)


def _copy(stream: Any, source: Any, output: Any) -> Any:
    """Add a copy of a stream; raises ValueError if the container does not hold it."""
    is_attached = stream.type == "attachment" and output.format.name == "matroska"
    if stream.codec_context is None and not is_attached:
        raise ValueError
    if stream.type == "video" and not _is_shown(stream, source, output.format.name):
        raise ValueError
    copy = output.add_stream_from_template(stream, opaque=True)
    if stream.type == "video":
        if stream.average_rate:
            copy.codec_context.framerate = stream.average_rate  # for Matroska
        if stream.sample_aspect_ratio:
            copy.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio  # for MP4 and MOV
        if tag := _codec_tag(stream, source, output):
            copy.codec_context.codec_tag = tag
        if has_wrong_times(stream, source):
            header = without_packing(stream.codec_context.extradata or b"")
            copy.codec_context.extradata = header or None
    copy_metadata(copy, stream, output)
    return copy


def _is_shown(stream: Any, source: Any, muxer: str) -> bool:
    """Tell whether players expect a picture like `stream` in the container of FFmpeg's name."""
    is_expected = stream.codec_context.codec.canonical_name in SHOWN.get(muxer, ())
    return muxer not in SHOWN or is_expected or source.format.name == muxer


def _codec_tag(stream: Any, source: Any, output: Any) -> str | None:
    """Return the four letters for a codec that a container should have; None for the muxer's."""
    tag: str = stream.codec_context.codec_tag
    if output.format.name not in formats.MOV_FAMILY:
        is_raw = stream.codec_context.codec.canonical_name == "rawvideo"  # they name its colours
        return tag if is_raw and tag.isprintable() else None
    if output.format.name == "mov" and source.metadata.get("major_brand", "").startswith("qt"):
        return tag if tag.isprintable() else None  # the profile of ProRes, among others
    if stream.codec_context.codec.canonical_name == "hevc":
        return tag if tag in HEVC_TAGS else HEVC_TAGS[0]
    return None


def copy_metadata(copy: Any, stream: Any, output: Any) -> None:
    """Give a stream the metadata and the disposition of another one."""
    metadata = _kept(stream.metadata)
    if output.format.name in formats.MOV_FAMILY and "name" in metadata:
        metadata.setdefault("title", metadata.pop("name"))  # FFmpeg reads one and writes the other
    copy.metadata.update(metadata)
    copy.disposition = stream.disposition.value


def copy_sound_metadata(copy: Any, stream: Any, output: Any) -> None:
    """Do the same as `copy_metadata` for a re-encoded stream, whose statistics have changed."""
    copy_metadata(copy, stream, output)
    for name in list(copy.metadata):
        if name.lower().startswith(STATISTICS):
            del copy.metadata[name]


def _is_remade(stream: Any, source: Any) -> bool:
    """Tell whether the muxer writes a stream itself: a time code, or the titles of chapters."""
    if stream.type != "data":
        return False
    return "timecode" in stream.metadata or (stream.name == "bin_data" and bool(source.chapters()))


def _name(stream: Any) -> str:
    """Return what a stream is, its number, and its codec if FFmpeg knows it."""
    context = stream.codec_context
    codec = context.name if context is not None else getattr(stream, "name", None)
    kind = KINDS.get(stream.type, stream.type)
    return f"{kind} (stream {stream.index}{f', {codec}' if codec else ''})"


def _kept(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in metadata.items() if name.lower() not in OWN_TAGS}


def _aspect_ratio(container: Any) -> Fraction:
    """Return the width of a pixel over its height in the first picture of a container."""
    ratio: Fraction | None = container.streams.video[0].sample_aspect_ratio
    return ratio or Fraction(1)


def _is_out_of_order(source: Any) -> bool:
    """Tell whether FFmpeg knows the order of decoding alone of a video's pictures."""
    if source.format.name != "avi":
        return False
    pictures = [each.codec_context for each in source.streams.video if each.codec_context]
    return any(each.has_b_frames and each.name in UNORDERED for each in pictures)


def describe_losses(av: Any, source: Any, copies: Mapping[int, Any], target: Path) -> list[str]:
    """Return notes on what a video that was written lacks, and on sound tracks with noise.

    `copies` has the index of each stream of `source` that was copied.
    """
    with target.open("rb") as file, av.open(file, metadata_errors="replace") as written:
        there = {name.lower() for name in written.metadata}
        lost = [name for name in _kept(source.metadata) if name.lower() not in there]
        n_lost = len(source.chapters()) - len(written.chapters())
        is_squeezed = _aspect_ratio(source) != _aspect_ratio(written)
    notes = []
    if _is_out_of_order(source):
        notes.append("the picture may judder: AVI does not tell when B-frames of H.264 are shown")
    if is_squeezed:  # PyAV cannot write it to Matroska, only what the codec itself has
        notes.append(f"aspect ratio of the pixels left out: {_aspect_ratio(source)}")
    if lost:
        more = f" and {len(lost) - MAX_NAMED} more" if len(lost) > MAX_NAMED else ""
        notes.append(f"tags left out: {', '.join(lost[:MAX_NAMED])}{more}")
    if n_lost:
        notes.append(f"{n_lost} chapter(s) left out")
    n_others = sum(each.index in copies for each in source.streams.audio)
    if n_others:
        notes.append(f"{n_others} other sound track(s) copied with their noise")
    return notes
