"""What the routes answer, as JSON Schema, by the view that answers."""

from typing import Any

Schema = dict[str, Any]
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}
ANY_OBJECT: Schema = {"type": "object"}


def _list(each: Schema) -> Schema:
    return {"type": "array", "items": each}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _header(description: str, schema: Schema, is_always: bool = True) -> Schema:
    return {"description": description, "required": is_always, "schema": schema}


BODIES = {
    "samples": _object(data=_list(NUMBER)),
    "spectrogram": _object(
        db=_list(_list(NUMBER)),
        seconds=_list(NUMBER),
        hz=_list(NUMBER),
        sample_rate=INTEGER,
        duration_seconds=NUMBER,
        channels=INTEGER,
    ),
    "model": _object(
        sample_rate=INTEGER,
        spectrogram=_object(n_fft=INTEGER, hop_length=INTEGER, win_length=INTEGER),
        receptive_field_frames=INTEGER,
        receptive_field_seconds=NUMBER,
    ),
    "limits": _object(
        body_bytes=INTEGER,
        channel_seconds=NUMBER,
        channels=INTEGER,
        deadline_seconds=NUMBER,
        slots=INTEGER,
        queue=INTEGER,
        least_sample_rate=INTEGER,
        most_sample_rate=INTEGER,
        formats=_list(TEXT),
    ),
    "livez": _object(status={"const": "alive"}),
    "readyz": _object(status={"const": "ready"}),
    "openapi": _object(openapi=TEXT, info=ANY_OBJECT, paths=ANY_OBJECT, components=ANY_OBJECT),
}
HEADERS = {
    "denoise": {
        "Audio-Sample-Rate": _header("In Hz", INTEGER),
        "Audio-Channels": _header("How many", INTEGER),
        "Audio-Seconds": _header("How long it lasts", NUMBER),
        "Audio-Clipped-Samples": _header("Beyond full scale, and cut", INTEGER),
        "Content-Disposition": _header("A file name", TEXT),
    }
}
PROBLEM_HEADERS = {
    401: {"WWW-Authenticate": _header("How a token is sent", TEXT)},
    503: {"Retry-After": _header("Seconds to wait", INTEGER)},
}
PROBLEM = _object(type=TEXT, title=TEXT, status=INTEGER, detail=TEXT)
PROBLEM["properties"] |= {"limit": NUMBER, "actual": NUMBER}
