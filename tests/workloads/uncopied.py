"""A client that sends without copying (SO_ZEROCOPY, MSG_ZEROCOPY of Linux), and tells of which
sends the kernel said that their memory is free again.

    uncopied.py PORT

Each line of standard input is WHEN PATH: a connection with three requests for PATH/0 to PATH/2,
whose socket says so `early`, before it connects, or `late`, after the first request, which is
copied. Of each connection a line of JSON: the numbers that the kernel told.
"""

import json
import select
import socket
import struct
import sys

SO_ZEROCOPY = 60
MSG_ZEROCOPY = 0x4000000
MSG_ERRQUEUE = 0x2000


def freed(connection):
    """The numbers of the next sends that are told."""
    poll = select.poll()
    poll.register(connection, 0)
    if not poll.poll(5000):
        return []
    _, messages, _, _ = connection.recvmsg(0, 512, MSG_ERRQUEUE)
    # struct sock_extended_err (include/uapi/linux/errqueue.h): the first and the last.
    first, last = struct.unpack("II", messages[0][2][8:16])
    return list(range(first, last + 1))


print("ready", flush=True)
for line in sys.stdin:
    when, path = line.split()
    connection = socket.socket()
    if when == "early":
        connection.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    connection.connect(("127.0.0.1", int(sys.argv[1])))
    reader = connection.makefile("rb")
    told = []
    for number in range(3):
        if when == "late" and number == 1:
            connection.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        head = f"GET {path}/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        # What is late is about what is sent, not about what is told then.
        connection.sendall(head, MSG_ZEROCOPY if when == "early" else 0)
        while reader.readline() != b"\r\n":
            pass
        reader.read(2)
        if when == "early":
            told += freed(connection)
    connection.close()
    print(json.dumps(told), flush=True)
