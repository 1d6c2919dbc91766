"""The HTTP server: `denoise serve`.

It imports `util`, `dsp`, `network.spec` and `inference`, and Flask, waitress and prometheus_client.
Start with `app`, the Flask application; `routes` lists its routes, and `views` implements them.
"""
