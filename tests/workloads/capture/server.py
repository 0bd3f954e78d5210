"""Servers that treat their sockets unusually: one case each, named by the first argument. The
second is the port on 127.0.0.1, or the path of a Unix socket. Prints "ready" when it listens."""

import array
import os
import queue
import socket
import sys
import threading
import time

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\n"


def listen(where):
    if where.startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(where)
    else:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(where)))
    listener.listen(128)
    return listener


def ready():
    print("ready", flush=True)


def head(connection):
    """The next head, or nothing at the end. Requests have no bodies and come one at a time."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return b""
        received += more
    return received


def each(listener):
    ready()
    while True:
        connection, _ = listener.accept()
        yield connection


def plain(listener):
    for connection in each(listener):
        while head(connection):
            connection.sendall(OK)
        connection.close()


def one_each(listener):
    for connection in each(listener):
        head(connection)
        connection.sendall(OK)
        connection.close()


def duplicated(listener):
    for connection in each(listener):
        head(connection)
        copy = os.dup2(connection.fileno(), 77)
        connection.close()
        os.write(copy, OK)
        os.close(copy)


def forked(listener):
    for connection in each(listener):
        head(connection)
        child = os.fork()
        if child == 0:
            connection.sendall(OK)
            os._exit(0)
        connection.close()
        os.waitpid(child, 0)


def passed(listener):
    """One process accepts, another reads and answers."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        while True:
            _, ancillary, _, _ = theirs.recvmsg(1, 100)
            if not ancillary:
                os._exit(0)
            descriptor = array.array("i", ancillary[0][2])[0]
            connection = socket.socket(fileno=descriptor)
            head(connection)
            connection.sendall(OK)
            connection.close()
    theirs.close()
    for connection in each(listener):
        rights = array.array("i", [connection.fileno()])
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        connection.close()


def inherited(listener):
    """The listener is passed on through exec as descriptor 3, as systemd does."""
    os.dup2(listener.fileno(), 3)
    os.set_inheritable(3, True)
    os.execv(sys.executable, [sys.executable, __file__, "on-descriptor-3", "0"])


def endless(listener):
    for connection in each(listener):
        head(connection)
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                connection.sendall(b"x" * 65536)
        except OSError:
            connection.close()


def until_close(listener):
    for connection in each(listener):
        head(connection)
        connection.sendall(UNTIL_CLOSE + b"y" * 5000)
        connection.sendall(b"z" * 1234)
        connection.close()


def half_closed(listener):
    for connection in each(listener):
        head(connection)
        connection.recv(10)
        connection.sendall(UNTIL_CLOSE + b"y" * 5000)
        connection.shutdown(socket.SHUT_WR)
        # Long enough for a span that ends only at the close to be seen to.
        time.sleep(0.3)
        connection.close()


def silent(listener):
    """Reads a request, closes without an answer."""
    for connection in each(listener):
        head(connection)
        connection.close()


def mute(listener):
    """Reads a request, says so, and nothing more ever."""
    for connection in each(listener):
        head(connection)
        print("asked", flush=True)
        time.sleep(1000)


def patient(listener):
    for connection in each(listener):
        head(connection)
        time.sleep(1.5)
        connection.sendall(OK)
        head(connection)
        connection.sendall(OK)


def pipelined(listener):
    """Reads all before it answers the first."""
    for connection in each(listener):
        received = b""
        while received.count(b"\r\n\r\n") < 100:
            received += connection.recv(65536)
        for _ in range(100):
            connection.sendall(OK)
        connection.close()


def two_threads(listener):
    """One thread reads requests, another one writes the responses of all connections."""
    answers = queue.Queue()

    def write():
        while True:
            answers.get().sendall(OK)

    def read(connection):
        while head(connection):
            answers.put(connection)
        connection.close()

    threading.Thread(target=write, daemon=True).start()
    for connection in each(listener):
        threading.Thread(target=read, args=(connection,), daemon=True).start()


def file(listener):
    """64 MiB by sendfile."""
    size = 64 * 1024 * 1024
    body = os.memfd_create("body")
    os.ftruncate(body, size)
    for connection in each(listener):
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        at = 0
        while at < size:
            at += os.sendfile(connection.fileno(), body, at, size - at)
        head(connection)
        connection.close()


def brief(listener):
    """One request, and it is gone."""
    ready()
    connection, _ = listener.accept()
    head(connection)
    connection.sendall(OK)
    os._exit(0)


def main():
    case, where = sys.argv[1:]
    if case == "on-descriptor-3":
        plain(socket.socket(fileno=3))
    else:
        globals()[case.replace("-", "_")](listen(where))


main()
