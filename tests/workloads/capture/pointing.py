"""Answers requests that it reads by readv(2), whose description of memory it changes while the call
waits: once the bytes are there, it points at the address that is given, where none were put.

Usage: pointing.py PORT ADDRESS
"""

import ctypes
import socket
import sys
import threading
import time

LEN = 4096


class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


libc = ctypes.CDLL(None, use_errno=True)


def point(thread, descriptor, part, address):
    """Once the call waits on this descriptor."""
    while True:
        with open(f"/proc/self/task/{thread}/syscall", encoding="ascii") as file:
            words = file.read().split()
        if len(words) > 1 and words[1] == hex(descriptor):
            break
        time.sleep(0.001)
    part.base = address
    print("pointed", flush=True)


def main():
    port, address = int(sys.argv[1]), int(sys.argv[2], 0)
    listener = socket.create_server(("127.0.0.1", port))
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        memory = ctypes.create_string_buffer(LEN)
        part = Part(ctypes.addressof(memory), LEN)
        descriptor = connection.fileno()
        arguments = (threading.get_native_id(), descriptor, part, address)
        threading.Thread(target=point, args=arguments, daemon=True).start()
        if libc.readv(descriptor, ctypes.byref(part), 1) > 0:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.close()


main()
