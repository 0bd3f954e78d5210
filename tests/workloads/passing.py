"""Servers in which one process listens and another one serves. Each request that was answered is
told as a line of JSON; connections carry one request.

    passing.py HOW PORT

HOW is how the server comes by its connections:
    exec      the listener accepts, forks, and the child runs another program on the connection
    rights    the listener passes accepted connections to a process that was there before it
    reload    the listener passes its listening socket to such a process, and accepts no more
    getfd     such a process takes accepted connections by itself (pidfd_getfd)
    workers   bound first, then forked: each worker says that it listens and accepts
"""

import ctypes
import json
import os
import signal
import socket
import sys

PIDFD_OPEN = 434
PIDFD_GETFD = 438


def serve(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(4096)
        if not piece:
            return
        head += piece
    method, target = head.split(b" ", 2)[:2]
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    )
    line = {
        "method": method.decode(),
        "target": target.decode(),
        "status": 200,
        "request_body": 0,
        "response_body": 5,
    }
    connection.close()
    os.write(1, (json.dumps(line) + "\n").encode())


def accept_all(listener):
    while True:
        serve(listener.accept()[0])


def bound(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def listening(port, *more):
    listener = bound(port)
    listener.listen(64)
    print("listening", *more, flush=True)
    return listener


def fork(work):
    child = os.fork()
    if child == 0:
        # The parent's end is the child's.
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
        work()
        os._exit(0)
    return child


def by_exec(port):
    # Children's ends are nobody's business.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = listening(port)
    while True:
        connection = listener.accept()[0]

        def run():
            # Another executable, by name: what runs what its parent runs stays watched anyway.
            os.dup2(connection.fileno(), 0)
            os.execv(
                os.environ["OTHER_PYTHON"],
                ["served", os.path.abspath(__file__), "served", "0"],
            )

        fork(run)
        connection.close()


def by_rights(port, what):
    here, there = socket.socketpair()

    def work():
        here.close()
        while True:
            _, fds, _, _ = socket.recv_fds(there, 1, 1)
            taken = socket.socket(fileno=fds[0])
            if what == "listener":
                accept_all(taken)
            serve(taken)

    child = fork(work)
    there.close()
    listener = listening(port, child)
    if what == "listener":
        socket.send_fds(here, [b"x"], [listener.fileno()])
        listener.close()
        signal.pause()
    while True:
        connection = listener.accept()[0]
        socket.send_fds(here, [b"x"], [connection.fileno()])
        connection.close()


def by_getfd(port):
    numbers, told = os.pipe()
    done, finished = os.pipe()
    parent = os.getpid()

    def work():
        libc = ctypes.CDLL(None, use_errno=True)
        pidfd = libc.syscall(PIDFD_OPEN, parent, 0)
        while True:
            fd = libc.syscall(PIDFD_GETFD, pidfd, os.read(numbers, 1)[0], 0)
            os.write(finished, b"x")
            serve(socket.socket(fileno=fd))

    child = fork(work)
    listener = listening(port, child)
    while True:
        connection = listener.accept()[0]
        os.write(told, bytes([connection.fileno()]))
        os.read(done, 1)
        connection.close()


def by_workers(port):
    listener = bound(port)

    def work():
        listener.listen(64)
        accept_all(listener)

    children = [fork(work) for _ in range(3)]
    listener.listen(64)
    print("listening", *children, flush=True)
    signal.pause()


def main():
    how, port = sys.argv[1], int(sys.argv[2])
    if how == "served":
        serve(socket.socket(fileno=0))
    elif how == "exec":
        by_exec(port)
    elif how == "rights":
        by_rights(port, "connections")
    elif how == "reload":
        by_rights(port, "listener")
    elif how == "getfd":
        by_getfd(port)
    elif how == "workers":
        by_workers(port)


main()
