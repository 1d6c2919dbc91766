# The server (docs/server.md) as an unprivileged user, with a health check.
FROM python:3.13-slim

WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY denoise denoise
COPY general/models general/models
COPY general/live/models general/live/models
RUN pip install --no-cache-dir '.[server]' && rm -rf /source/*

# A fixed id, so that a folder of the host can be given to this user; a named volume at
# /var/lib/denoise belongs to it.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/denoise denoise
USER denoise
WORKDIR /tmp
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "-c", "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8765, timeout=3); c.request('GET', '/livez'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["denoise", "serve", "--host", "0.0.0.0"]
