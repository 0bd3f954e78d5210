"""A server that answers each request with the sum of what came, a line: path, fields and body.
`keeps_sums.py PORT`"""

import hashlib
import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fields = sorted((name, value) for name, value in self.headers.items())
        sum_of_all = hashlib.sha256(repr((self.path, fields)).encode() + body)
        answer = f"{self.path} {len(body)} {sum_of_all.hexdigest()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
