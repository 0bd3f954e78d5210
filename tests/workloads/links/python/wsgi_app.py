"""Flask, for gunicorn: `gunicorn wsgi_app:app`."""

from flask import Flask

import calls

app = Flask(__name__)


@app.get("/<identity>/spawned")
def spawned(identity):
    import gevent

    made = [gevent.spawn(calls.blocking, f"/{identity}/{number}") for number in (1, 2)]
    gevent.joinall(made)
    return {}


@app.get("/<identity>/<name>")
def any_shape(identity, name):
    getattr(calls, name)(f"/{identity}")
    return {}
