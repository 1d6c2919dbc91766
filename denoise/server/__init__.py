"""The HTTP server: `denoise serve`.

It imports `util`, `dsp`, `network.spec` and `inference`, and Flask and waitress. Start with `app`,
the Flask application; `routes` lists what it answers, and `views` answers it.
"""
