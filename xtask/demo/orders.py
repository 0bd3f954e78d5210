"""A shop's orders, as a service that nobody instrumented: it asks `stock.py` for each order.

    orders.py PORT STOCK_PORT
"""

import json
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, STOCK_PORT = int(sys.argv[1]), int(sys.argv[2])
ORDERS = {number: f"item-{number}" for number in range(1, 10)}


def in_stock(item):
    """How many there are; raises if the stock service fails."""
    with urllib.request.urlopen(f"http://127.0.0.1:{STOCK_PORT}/stock/{item}", timeout=5) as answer:
        return json.load(answer)["count"]


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one write: two would wait for each other (Nagle, delayed acknowledgement).
    wbufsize = -1

    def do_GET(self):
        path = self.path.split("?")[0].rstrip("/")
        name = path.removeprefix("/api/orders").lstrip("/")
        try:
            if not name:
                self.answer(200, {"orders": list(ORDERS)})
            elif name == "broken":
                self.answer(200, {"in_stock": in_stock("broken")})
            elif name.isdigit() and int(name) in ORDERS:
                item = ORDERS[int(name)]
                self.answer(200, {"item": item, "in_stock": in_stock(item)})
            else:
                self.answer(404, {"error": "no such order"})
        except urllib.error.URLError as error:
            self.answer(500, {"error": str(error)})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Orders).serve_forever()
