"""A server of checksums: every body that it gets or gives is told by its SHA-256 in `X-Sum`.

    echo.py PORT

A body comes back as it came, if it is what its sum says, else with status 400. `GET /bytes/N` gives
N bytes. With CERTIFICATE and KEY in the environment, over TLS.
"""

import hashlib
import http.server
import os
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        whole = hashlib.sha256(body).hexdigest() == self.headers["X-Sum"]
        self.answer(200 if whole else 400, body)

    def do_GET(self):
        size = int(self.path.rsplit("/", 1)[1])
        self.answer(200, (b"%020d" % size) * (size // 20) + b"x" * (size % 20))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Sum", hashlib.sha256(body).hexdigest())
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
if "CERTIFICATE" in os.environ:
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.environ["CERTIFICATE"], os.environ["KEY"])
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
print("listening", flush=True)
server.serve_forever()
