"""Speaks HTTP over TLS the ways that TLS objects find their sockets in. Nothing in it knows of
tracing.

serve PORT CERTIFICATE KEY WAY    WAY: socket, memory, both-memory, threads
fetch PORT WAY COUNT              WAY: socket, memory, two, threads, again, late, nameless
"""

import select
import socket
import ssl
import sys
import threading


def client_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Memory:
    """A TLS object that never sees its socket: the program moves its encrypted bytes."""

    def __init__(self, context, sock, server_side=False):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server_side else "memory.example"
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_side, name)
        self.pump(self.object.do_handshake)

    def pump(self, step):
        while True:
            try:
                result = step()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if not data:
                    raise EOFError
                self.incoming.write(data)

    def flush(self):
        data = self.outgoing.read()
        if data:
            self.sock.sendall(data)

    def recv(self, size):
        return self.pump(lambda: self.object.read(size))

    def sendall(self, data):
        self.pump(lambda: self.object.write(data))


def ask(tls, path, head="HTTP/1.1\r\nHost: localhost"):
    tls.sendall(f"GET {path} {head}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"ok"):
        answer += tls.recv(4096)


def answer(tls):
    try:
        while True:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                data = tls.recv(4096)
                if not data:
                    return
                request += data
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (EOFError, OSError):
        pass


def serve(port, certificate, key, way):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", int(port)))
    print("listening", flush=True)

    def one(sock):
        with sock:
            if way == "memory":
                answer(Memory(context, sock, server_side=True))
            else:
                with context.wrap_socket(sock, server_side=True) as tls:
                    answer(tls)

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=one, args=(sock,), daemon=True).start()


def fetch(port, way, count):
    context = client_context()

    def connect():
        return socket.create_connection(("127.0.0.1", int(port)))

    def tls_of(sock):
        return context.wrap_socket(sock, server_hostname="localhost")

    print("ready", flush=True)
    early = tls_of(connect()) if way == "late" else None
    if early:
        ask(early, "/before")
        print("connected", flush=True)
    sys.stdin.readline()
    paths = [f"/{way}/{number}" for number in range(int(count))]
    if way == "socket":
        with tls_of(connect()) as tls:
            for path in paths:
                ask(tls, path)
    elif way == "memory":
        tls = Memory(context, connect())
        for path in paths:
            ask(tls, path)
    elif way == "two":
        # In turn on one thread, each by itself and by memory.
        pair = [Memory(context, connect()), Memory(context, connect())]
        for path in paths:
            for number, tls in enumerate(pair):
                ask(tls, f"{path}/{number}")
    elif way == "threads":
        tls = Memory(context, connect())
        for path in paths:
            thread = threading.Thread(target=ask, args=(tls, path))
            thread.start()
            thread.join()
    elif way == "again":
        # Freed objects leave their memory to the next.
        for path in paths:
            with tls_of(connect()) as tls:
                ask(tls, path)
    elif way == "nameless":
        # Whom the first are for is in their ClientHello only, and the others' says nothing.
        for name in ["shop.example", None]:
            for path in paths:
                with context.wrap_socket(connect(), server_hostname=name) as tls:
                    ask(tls, path, "HTTP/1.0")
    elif way == "late":
        for path in paths:
            ask(early, path)
    print("done", flush=True)


{"serve": serve, "fetch": fetch}[sys.argv[1]](*sys.argv[2:])
