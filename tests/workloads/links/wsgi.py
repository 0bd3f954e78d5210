"""A WSGI application, and a Flask one, whose handlers ask twice, on new connections."""

import os
import urllib.request

BACKEND = "http://127.0.0.1:" + os.environ["BACKEND"]


def ask(target):
    with urllib.request.urlopen(BACKEND + target, timeout=60) as answer:
        return answer.read()


def serve(identity):
    delay = int(identity[1:]) * 7 % 5
    ask(f"/{identity}/back?delay={delay}")
    ask(f"/{identity}/again")


def application(environment, start_response):
    serve(environment["PATH_INFO"].split("/")[1])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]


def flask():
    import flask

    app = flask.Flask(__name__)

    @app.route("/<identity>/<path:rest>")
    def answer(identity, rest):
        serve(identity)
        return "ok\n"

    return app


if __name__ == "__main__":
    import sys

    flask().run(host="127.0.0.1", port=int(sys.argv[1]), threaded=True)
