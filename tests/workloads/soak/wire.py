"""Both ends of HTTP/1.1 that believe nothing, by hand, so that every way to send is tried.

    wire.py serve PORT
    wire.py ask PORT

Each request tells the SHA-256 of its own head and of its body; the server answers 400 if it got
anything else but that, or that with one more field: a `traceparent` that is well formed, where the
request had none. The client goes on until standard input ends; then a line of JSON: how many
requests, how many of them bad, the first few of those, and how many had a field inserted.
"""

import hashlib
import json
import os
import random
import re
import socket
import socketserver
import sys
import threading

LANES = 2
REQUESTS_PER_CONNECTION = 12
FIELD = re.compile(rb"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
OWN = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SIZES = (0, 1, 100, 700, 5_000, 70_000, 400_000)
LARGE = (10_000_000, 100_000_000)
BYTES = random.Random(0).randbytes(1_000_003)


def head_sum(lines):
    return hashlib.sha256(b"\n".join(lines)).hexdigest().encode()


def body(size):
    whole, rest = divmod(size, len(BYTES))
    return BYTES * whole + BYTES[:rest]


# The server.


def judge(lines):
    """Whether a field was inserted, or None if anything else differs."""
    told = [line for line in lines if line.startswith(b"X-Head: ")]
    rest = [line for line in lines if not line.startswith(b"X-Head: ")]
    if len(told) != 1:
        return None
    if head_sum(rest) == told[0][8:]:
        return False
    if not rest or not FIELD.fullmatch(rest[-1]):
        return None
    if OWN in rest or head_sum(rest[:-1]) != told[0][8:]:
        return None
    return True


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while self.one():
            pass

    def one(self):
        lines = []
        while True:
            line = self.rfile.readline()
            if not line:
                return False
            if not line.endswith(b"\r\n"):
                return self.answer(400, b"a line without its end")
            if line == b"\r\n":
                break
            lines.append(line[:-2])
        inserted = judge(lines)
        if inserted is None:
            return self.answer(400, b"head: " + b" | ".join(lines)[:500])
        fields = dict(line.split(b": ", 1) for line in lines[1:])
        if fields.get(b"Upgrade"):
            return self.echo(int(fields[b"X-Bytes"]), inserted)
        digest = hashlib.sha256()
        if fields.get(b"Transfer-Encoding"):
            while size := int(self.rfile.readline(), 16):
                digest.update(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(fields.get(b"Content-Length", 0))
            while left:
                piece = self.rfile.read(min(left, 1 << 20))
                if not piece:
                    return False
                digest.update(piece)
                left -= len(piece)
        if digest.hexdigest().encode() != fields[b"X-Sum"]:
            return self.answer(400, b"body")
        size = int(fields.get(b"X-Wants", 0))
        return self.answer(200, body(size), inserted, lines[0].startswith(b"HEAD "))

    def echo(self, size, inserted):
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nX-Inserted: %d\r\n\r\n" % inserted)
        while size:
            piece = self.rfile.read1(min(size, 65536))
            if not piece:
                return False
            self.wfile.write(piece)
            size -= len(piece)
        return True

    def answer(self, status, content, inserted=False, is_head=False):
        head = b"HTTP/1.1 %d -\r\nContent-Length: %d\r\nX-Inserted: %d\r\n\r\n"
        head %= (status, len(content), inserted)
        self.wfile.write(head + (b"" if is_head else content))
        return status == 200


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


# The client.

told = {"requests": 0, "bad": 0, "why": [], "inserted": 0}
over = threading.Event()
lock = threading.Lock()


class Wrong(Exception):
    """What came is not what it should be."""


def request(chance, method, content, *fields):
    lines = [b"%s /%d?a=b HTTP/1.1" % (method, chance.randrange(1000)), b"Host: wire"]
    lines += [b"X-Filler: " + b"f" * chance.choice((0, 10, 300, 2000))]
    lines += [b"X-Sum: " + hashlib.sha256(content).hexdigest().encode(), *fields]
    return b"\r\n".join([lines[0], b"X-Head: " + head_sum(lines), *lines[1:]]) + b"\r\n\r\n"


class Client:
    def __init__(self, port, chance):
        self.chance = chance
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        if chance.random() < 0.7:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def close(self):
        self.reader.close()
        self.socket.close()

    def head(self, expected):
        line = self.reader.readline()
        fields = {}
        while (field := self.reader.readline()) not in (b"\r\n", b""):
            name, value = field[:-2].split(b": ")
            fields[name] = value
        if not line.startswith(b"HTTP/1.1 %d " % expected):
            rest = self.reader.read(int(fields.get(b"Content-Length", 0)))
            raise Wrong(f"{line!r} {rest!r}")
        with lock:
            told["inserted"] += int(fields[b"X-Inserted"])
        return fields

    def answer(self, wants=0, is_head=False):
        size = int(self.head(200)[b"Content-Length"])
        content = b"" if is_head else self.reader.read(size)
        if size != wants or (not is_head and content != body(wants)):
            raise Wrong(f"{len(content)} of {wants} bytes, or others")

    def size(self):
        if self.chance.random() < 0.003:
            return self.chance.choice(LARGE)
        return self.chance.choice(SIZES)

    def uploaded(self, *fields):
        content = body(self.size())
        method = self.chance.choice((b"POST", b"PUT", b"PATCH", b"DELETE"))
        length = b"Content-Length: %d" % len(content)
        return request(self.chance, method, content, length, *fields), content

    # Ways to send. Each returns how many requests it made, or None if the connection is over.

    def plain(self):
        head, content = self.uploaded()
        self.socket.sendall(head + content)
        self.answer()
        return 1

    def fetch(self):
        method = self.chance.choice((b"GET", b"HEAD", b"OPTIONS"))
        wants = self.chance.choice(SIZES)
        self.socket.sendall(request(self.chance, method, b"", b"X-Wants: %d" % wants))
        self.answer(wants, method == b"HEAD")
        return 1

    def split(self):
        head, content = self.uploaded()
        at = sorted(self.chance.randrange(len(head)) for _ in range(3))
        for begin, end in zip([0, *at], [*at, len(head)]):
            self.socket.sendall(head[begin:end])
        self.socket.sendall(content)
        self.answer()
        return 1

    def gathered(self):
        head, content = self.uploaded()
        at = sorted(self.chance.randrange(len(head)) for _ in range(4))
        ends = [*at, len(head)]
        parts = [head[begin:end] for begin, end in zip([0, *at], ends)] + [content]
        sent = self.socket.sendmsg([part for part in parts if part])
        self.socket.sendall((head + content)[sent:])
        self.answer()
        return 1

    def more(self):
        head, content = self.uploaded()
        self.socket.sendall(head, socket.MSG_MORE if content else 0)
        self.socket.sendall(content)
        self.answer()
        return 1

    def file(self):
        head, content = self.uploaded()
        with os.fdopen(os.memfd_create("content"), "w+b") as file:
            file.write(content)
            file.flush()
            self.socket.sendall(head)
            self.socket.sendfile(file, 0, len(content)) if content else None
        self.answer()
        return 1

    def spliced(self):
        head, content = self.uploaded()
        self.socket.sendall(head)
        self.socket.setblocking(True)
        source, sink = os.pipe()
        left = memoryview(content)
        while left:
            written = os.write(sink, left[:65536])
            left = left[written:]
            while written:
                written -= os.splice(source, self.socket.fileno(), written)
        os.close(source)
        os.close(sink)
        self.socket.settimeout(120)
        self.answer()
        return 1

    def pipelined(self):
        count = self.chance.choice((2, 3, 20))
        small = lambda: body(self.chance.choice(SIZES[:4]))
        parts = []
        for _ in range(count):
            content = small()
            length = b"Content-Length: %d" % len(content)
            parts.append(request(self.chance, b"POST", content, length) + content)
        self.socket.sendall(b"".join(parts))
        for _ in range(count):
            self.answer()
        return count

    def own(self):
        head, content = self.uploaded(OWN)
        self.socket.sendall(head + content)
        self.answer()
        return 1

    def chunked(self):
        content = body(self.size() % 1_000_000)
        head = request(self.chance, b"POST", content, b"Transfer-Encoding: chunked")
        chunks = [content[at : at + 30_000] for at in range(0, len(content), 30_000)]
        sent = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        self.socket.sendall(head + sent + b"0\r\n\r\n")
        self.answer()
        return 1

    def websocket(self):
        size = self.chance.choice(SIZES)
        fields = (b"Connection: Upgrade", b"Upgrade: websocket", b"X-Bytes: %d" % size)
        self.socket.sendall(request(self.chance, b"GET", b"", *fields))
        self.head(101)
        content = body(size)
        for at in range(0, size, 10_000):
            piece = content[at : at + 10_000]
            self.socket.sendall(piece)
            if self.reader.read(len(piece)) != piece:
                raise Wrong("other bytes after the upgrade")
        return 1


WAYS = (
    Client.plain, Client.fetch, Client.split, Client.gathered, Client.more, Client.file,
    Client.spliced, Client.pipelined, Client.own, Client.chunked, Client.websocket,
)  # fmt: skip


def converse(port, chance):
    client = Client(port, chance)
    try:
        for _ in range(REQUESTS_PER_CONNECTION):
            way = chance.choice(WAYS)
            try:
                count = way(client)
            except Exception as error:
                with lock:
                    told["requests"] += 1
                    told["bad"] += 1
                    told["why"] = (told["why"] + [f"{way.__name__}: {error!r}"])[:5]
                over.wait(0.1)
                return
            with lock:
                told["requests"] += count
            if over.is_set():
                return
    finally:
        client.close()


def lane(port, seed):
    chance = random.Random(seed)
    while not over.is_set():
        converse(port, chance)


def ask(port):
    # Who is watched is to notice nothing, and who watches has to start in time on a slow machine.
    os.nice(10)
    lanes = [threading.Thread(target=lane, args=(port, seed)) for seed in range(LANES)]
    for thread in lanes:
        thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    over.set()
    for thread in lanes:
        thread.join()
    print(json.dumps(told), flush=True)


role, port = sys.argv[1], int(sys.argv[2])
if role == "serve":
    server = Server(("127.0.0.1", port), Handler)
    print("listening", flush=True)
    server.serve_forever()
else:
    ask(port)
