"""The view functions of the routes under /v1/jobs."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from flask import Response, g, request

from denoise.server import request_parsing
from denoise.server.audio_response import make_audio_response
from denoise.server.context import ServerContext
from denoise.server.jobs.events import EventStreams, make_empty_response
from denoise.server.jobs.job import RESULT, Job
from denoise.server.problems import ProblemError


def make_job_views(context: ServerContext) -> dict[str, Callable[..., Any]]:
    """Return the view functions by name."""
    jobs, store, seconds_kept = context.jobs, context.jobs.store, context.limits.job_seconds
    streams = EventStreams(store, context.is_stopping, seconds_kept)

    def create_job() -> tuple[dict[str, Any], int, dict[str, str]]:
        options = request_parsing.read_options(request)
        with store.adding(request.content_length or 0) as (job_id, upload):
            name = request_parsing.save_recording(request, upload, accepts_raw=True)
            job = Job(job_id, g.request_id, name, options, created=time.time())
            jobs.submit(job)
        document = job.to_json(seconds_kept)
        return document, 202, {"Location": document["url"]}

    def delete_job(job_id: str) -> Response:
        jobs.delete(job_id)
        return make_empty_response()

    def job_result(job_id: str) -> Response:
        job = store.find(job_id)
        if job.result is None:
            detail = f"The job's state is {job.state}, and only a job that is done has a result."
            raise ProblemError("not-done", detail)
        try:
            return make_audio_response(store.path(job_id, RESULT), job.result, ExitStack())
        except FileNotFoundError:
            store.find(job_id)  # it was deleted just now
            raise

    return {
        "create_job": create_job,
        "job": lambda job_id: store.find(job_id).to_json(seconds_kept),
        "job_result": job_result,
        "job_events": lambda job_id: streams.open(
            store.find(job_id), request.headers.get("Last-Event-ID")
        ),
        "delete_job": delete_job,
    }
