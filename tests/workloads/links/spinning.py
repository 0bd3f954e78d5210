"""A server that answers as any other does, and makes contexts as fast as it can beside."""

import contextvars
import http.server
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def spin():
    while True:
        contextvars.copy_context()


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
threading.Thread(target=spin, daemon=True).start()
print("listening", flush=True)
server.serve_forever()
