"""Serves on a port, reads what comes, and answers nobody but who asks for /healthy over HTTP/1."""

import selectors
import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
listener.setblocking(False)
ready = selectors.DefaultSelector()
ready.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in ready.select():
        if key.fileobj is listener:
            connection, _ = listener.accept()
            connection.setblocking(False)
            ready.register(connection, selectors.EVENT_READ)
            continue
        connection = key.fileobj
        data = connection.recv(1 << 16)
        if not data:
            ready.unregister(connection)
            connection.close()
        elif data.startswith(b"GET /healthy"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
