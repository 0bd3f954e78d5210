"""A file system that can be made to stop answering, and a program that runs from it.

Usage: stalling_files.py FOLDER PROGRAM [ARGUMENT...]. Mounts, in a mount namespace of its own, a
file system over FOLDER with one file, `stalled`, that has PROGRAM's bytes; runs it with the
arguments; prints the pids of the program and of the process that answers for the file system, which
can be stopped. Layouts: include/uapi/linux/fuse.h.
"""

import ctypes
import errno
import os
import signal
import stat
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE, PR_SET_PDEATHSIG = 0x20000, 0x4000, 0x40000, 1
LOOKUP, FORGET, GETATTR, OPEN, READ, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 26, 36, 42
RELEASE, FLUSH, OPENDIR, RELEASEDIR = 18, 25, 27, 29
FOLDER_NODE, FILE_NODE, NAME = 1, 2, b"stalled"


def check(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")


def attributes(node, size):
    mode = stat.S_IFDIR | 0o755 if node == FOLDER_NODE else stat.S_IFREG | 0o755
    times, owner_and_device = [0] * 3, [0] * 3
    sizes = (size, (size + 511) // 512)
    return struct.pack(
        "<6Q10I", node, *sizes, *times, *times, mode, 1, *owner_and_device, 4096, 0
    )


def answer(opcode, node, body, program):
    """The body of an answer, or an error's number."""
    size = len(program) if node == FILE_NODE else 0
    if opcode == INIT:
        return struct.pack("<4I2H2I2H2I6I", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0, 0, *[0] * 6)
    if opcode == LOOKUP:
        if node != FOLDER_NODE or body.rstrip(b"\0") != NAME:
            return errno.ENOENT
        return struct.pack("<4Q2I", FILE_NODE, 0, 0, 0, 0, 0) + attributes(FILE_NODE, len(program))
    if opcode == GETATTR:
        return struct.pack("<Q2I", 0, 0, 0) + attributes(node, size)
    if opcode in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 0, 0, 0)
    if opcode == READ:
        _, offset, length = struct.unpack_from("<QQI", body)
        return program[offset : offset + length]
    if opcode in (RELEASE, FLUSH, RELEASEDIR):
        return b""
    return errno.ENOSYS


def serve(device, program):
    while True:
        try:
            request = os.read(device, 1 << 18)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.ENOENT):
                continue
            return
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            continue
        told = answer(opcode, node, request[40:], program)
        body, error = (b"", -told) if isinstance(told, int) else (told, 0)
        os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


def child():
    """Forks; what comes ends with this process."""
    pid = os.fork()
    if pid == 0:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return pid


def main():
    folder, program, *arguments = sys.argv[1:]
    with open(program, "rb") as file:
        content = file.read()
    check(LIBC.unshare(CLONE_NEWNS))
    check(LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,default_permissions"
    check(LIBC.mount(b"stalling", folder.encode(), b"fuse", 0, options.encode()))
    answers = child()
    if answers == 0:
        serve(device, content)
        os._exit(0)
    os.close(device)
    runs = child()
    if runs == 0:
        os.execv(os.path.join(folder, NAME.decode()), [NAME.decode(), *arguments])
    print(runs, answers, flush=True)
    sys.stdin.read()


main()
