"""A server of gRPC-Web over HTTP/1.1 that tells the truth: `web.py PORT`.

A body's words choose the answer: code, count (messages), bare (the status is a header and there is
no body, which is what a proxy makes of a trailers-only response)."""

import base64
import http.server
import json
import os
import signal
import socketserver
import sys

NAMES = """OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS
PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED
INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED""".split()


def frame(flags, payload):
    return bytes([flags]) + len(payload).to_bytes(4, "big") + payload


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = self.rfile.read(int(self.headers["Content-Length"])).decode()
        words = {word.split("=")[0]: int(word.split("=")[1]) for word in message.split()}
        code = words.get("code", 0)
        bare = "bare" in words
        count = 0 if bare else words.get("count", int(code == 0))
        content_type = self.headers["Content-Type"]
        trailers = b"grpc-status: %d\r\ngrpc-message: as told\r\n" % code
        body = b"".join(frame(0, b"reply") for _ in range(count)) + frame(0x80, trailers)
        if "text" in content_type:
            body = base64.b64encode(body)
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(0 if bare else len(body)))
        if bare:
            self.send_header("grpc-status", str(code))
        self.end_headers()
        if not bare:
            self.wfile.write(body)
        truth = {"rpc": self.path[1:], "status": NAMES[code], "requests": 1, "responses": count}
        os.write(1, (json.dumps(truth) + "\n").encode())

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
print("listening", flush=True)
server.serve_forever()
