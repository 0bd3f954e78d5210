"""A server that stops speaking HTTP: `switching.py PORT`. It answers the first request with what
allows that, and then sends back whatever comes.
"""

import socket
import sys
import threading


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    tunnel = head.startswith(b"CONNECT")
    status = b"200 Connection established" if tunnel else b"101 Switching Protocols"
    connection.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
    while piece := connection.recv(65536):
        connection.sendall(piece)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
