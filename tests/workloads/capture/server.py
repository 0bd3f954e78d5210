"""Servers that treat their sockets unusually: one case each, named by the first argument. The
second is the port on 127.0.0.1, or the path of a Unix socket. Prints "ready" when it listens."""

import array
import ctypes
import os
import queue
import signal
import socket
import subprocess
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
    """Ends its direction, and holds a TCP connection on: a span may not wait for its close. Of a
    Unix socket nothing tells what was shut down."""
    held = []
    for connection in each(listener):
        head(connection)
        connection.recv(10)
        connection.sendall(UNTIL_CLOSE + b"y" * 5000)
        connection.shutdown(socket.SHUT_WR)
        if connection.family == socket.AF_UNIX:
            connection.close()
        else:
            held.append(connection)


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


def sized(listener):
    """Answers /anything/SIZE with so many bytes."""
    for connection in each(listener):
        while request := head(connection):
            size = int(request.split(b" ", 2)[1].rsplit(b"/", 1)[1])
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
            connection.sendall(answer + b"x" * size)
        connection.close()


def beside_datagrams(listener):
    """Asks itself over datagrams, in words that would be HTTP on a stream, before each answer."""
    pairs = []
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0)),
    ):
        asked = socket.socket(family, socket.SOCK_DGRAM)
        asked.bind(address)
        asking = socket.socket(family, socket.SOCK_DGRAM)
        asking.connect(asked.getsockname())
        pairs.append((asking, asked))
    pairs.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    for connection in each(listener):
        while head(connection):
            for asking, asked in pairs:
                asking.send(b"GET /datagram HTTP/1.1\r\nHost: x\r\n\r\n")
                _, sender = asked.recvfrom(65536)
                if sender:
                    asked.sendto(OK + b" over datagrams", sender)
                else:
                    asked.send(OK + b" over datagrams")
                asking.recv(65536)
            connection.sendall(OK)
        connection.close()


def spawning(listener):
    """Has its requests answered by children that were made without a copy of it, one after the
    other, when it is told how on standard input."""
    os.set_inheritable(listener.fileno(), True)
    command = [sys.executable, __file__, "on-descriptor-3", "0"]
    actions = [(os.POSIX_SPAWN_DUP2, listener.fileno(), 3)]
    ready()
    for line in sys.stdin:
        how = line.strip()
        if how == "posix_spawn":
            child = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        else:
            os.dup2(listener.fileno(), 3)
            # CPython calls vfork here.
            child = subprocess.Popen(command, close_fds=False).pid
        print(f"{how} {child}", flush=True)
        os.waitpid(child, 0)


def brief(listener):
    """One request, and it is gone."""
    ready()
    connection, _ = listener.accept()
    head(connection)
    connection.sendall(OK)
    os._exit(0)


def end_with_parent():
    """Nothing outlives a test."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def again():
    """Runs servers that all get the process id of the first, one after the other: told the
    service's name and the port, says the process id."""
    libc = ctypes.CDLL(None, use_errno=True)
    pid = 0
    child = 0
    print("ready", flush=True)
    for line in sys.stdin:
        name, port = line.split()
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        # struct clone_args (linux/sched.h), of which exit_signal, set_tid and set_tid_size matter.
        wanted = ctypes.c_int(pid)
        fields = [0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0]
        fields += [ctypes.addressof(wanted), 1] if pid else [0, 0]
        arguments = (ctypes.c_uint64 * 10)(*fields)
        clone3 = 435
        child = libc.syscall(clone3, arguments, ctypes.sizeof(arguments))
        if child == 0:
            end_with_parent()
            os.environ["OTEL_SERVICE_NAME"] = name
            os.execv(sys.executable, [sys.executable, __file__, "plain", port])
        if child < 0:
            sys.exit(f"clone3: {os.strerror(ctypes.get_errno())}")
        pid = child
        print(f"pid {pid}", flush=True)


def main():
    case, where = sys.argv[1:]
    if case == "on-descriptor-3":
        end_with_parent()
        plain(socket.socket(fileno=3))
    elif case == "again":
        again()
    else:
        globals()[case.replace("-", "_")](listen(where))


main()
