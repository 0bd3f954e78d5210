"""A server that tells the truth: each request it answered, as a line of JSON.

    server.py PORT [forks]

Query parameters choose the answer: status, size, chunked, delay (milliseconds). With forks, that
many processes accept on the one listening socket. With CERTIFICATE and KEY in the environment, over
TLS.
"""

import http.server
import json
import os
import signal
import socketserver
import sys
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "truth"
    # Head and body are two writes; else the second waits for the first to be acknowledged.
    disable_nagle_algorithm = True

    def answer(self):
        received = self.read_body()
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)

        def number(name, default):
            return int(query.get(name, [default])[0])

        status = number("status", 200)
        size = number("size", 5)
        if "delay" in query:
            time.sleep(number("delay", 0) / 1000)
        self.send_response(status)
        bodiless = status in (204, 304)
        chunked = "chunked" in query
        if not bodiless:
            if chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(size))
        self.end_headers()
        sent = 0
        if self.command != "HEAD" and not bodiless:
            sent = size
            if chunked:
                self.send_chunks(b"x" * size)
            else:
                self.wfile.write(b"x" * size)
        # One write, so that lines of several processes do not mix.
        line = json.dumps(
            {
                "method": self.command,
                "target": self.path,
                "status": status,
                "request_body": received,
                "response_body": sent,
            }
        )
        os.write(1, (line + "\n").encode())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        received = 0
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            if size == 0:
                while self.rfile.readline().strip():
                    pass
                return received
            received += len(self.rfile.read(size))
            self.rfile.readline()

    def send_chunks(self, body):
        for at in range(0, len(body), 1000):
            piece = body[at : at + 1000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\nX-Trailer: yes\r\n\r\n")

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    if "CERTIFICATE" in os.environ:
        import ssl

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(os.environ["CERTIFICATE"], os.environ["KEY"])
        # The handshake is the business of each connection's own thread.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    forks = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    children = []
    for _ in range(forks):
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            server.serve_forever()
        children.append(child)

    def end(*_):
        for child in children:
            os.kill(child, signal.SIGTERM)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    print("listening", *children, flush=True)
    if forks:
        signal.pause()
    server.serve_forever()


main()
