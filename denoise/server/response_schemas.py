"""JSON Schemas of the response bodies and headers, by view."""

from typing import Any

from denoise.server.jobs.job import STATES

Schema = dict[str, Any]
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
ANY_OBJECT: Schema = {"type": "object"}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _header(description: str, schema: Schema) -> Schema:
    return {"description": description, "required": True, "schema": schema}


PROBLEM = _object(type=TEXT, title=TEXT, status=INTEGER, detail=TEXT, request_id=TEXT)
PROBLEM["properties"] |= {"limit": NUMBER, "actual": NUMBER, "limit_minutes": NUMBER}
JOB = _object(
    id=TEXT,
    state={"enum": list(STATES)},
    progress=_or_null({"type": "number", "minimum": 0, "maximum": 1}),
    seconds_done=NUMBER,
    created=TIME,
    ended=_or_null(TIME),
    expires=_or_null(TIME),
    problem=_or_null(PROBLEM),
    url=TEXT,
    events=TEXT,
    result=_or_null(TEXT),
)
BODIES = {
    "samples": _object(data=_array(NUMBER)),
    "spectrogram": _object(
        db=_array(_array(NUMBER)),
        seconds=_array(NUMBER),
        hz=_array(NUMBER),
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
        workers=INTEGER,
        queue=INTEGER,
        jobs=INTEGER,
        jobs_bytes=INTEGER,
        job_hours=NUMBER,
        minutes={"type": "object", "additionalProperties": NUMBER},
        min_sample_rate=INTEGER,
        max_sample_rate=INTEGER,
        reads=_array(TEXT),
        formats=_array(TEXT),
    ),
    "create_job": JOB,
    "job": JOB,
    "livez": _object(status={"const": "alive"}),
    "readyz": _object(status={"const": "ready"}),
    "openapi": _object(openapi=TEXT, info=ANY_OBJECT, paths=ANY_OBJECT, components=ANY_OBJECT),
}
AUDIO_HEADERS = {
    "Audio-Sample-Rate": _header("Sample rate in Hz", INTEGER),
    "Audio-Channels": _header("Number of channels", INTEGER),
    "Audio-Seconds": _header("Duration in seconds", NUMBER),
    "Audio-Clipped-Samples": _header("Number of samples clipped at full scale", INTEGER),
    "Content-Disposition": _header("Suggested file name", TEXT),
}
HEADERS = {
    "denoise": AUDIO_HEADERS,
    "job_result": AUDIO_HEADERS,
    "create_job": {"Location": _header("The job's path", TEXT)},
}
PROBLEM_HEADERS = {
    401: {"WWW-Authenticate": _header("Required authentication scheme", TEXT)},
    503: {"Retry-After": _header("Seconds to wait before trying again", INTEGER)},
}
