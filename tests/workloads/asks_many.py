"""A client that asks many times over connections that it keeps, one for each of so many threads:
`asks_many.py THREADS`. Each line of standard input is `BASE COUNT`, and asks COUNT times for
BASE/rN00P/a, P being the number of the line; then comes a line `asked COUNT`. With https it trusts
anybody."""

import http.client
import queue
import ssl
import sys
import threading
import urllib.parse

work = queue.Queue()
told = queue.Queue()


def ask():
    connection, at = None, None
    while True:
        base, path = work.get()
        if at != base:
            parts = urllib.parse.urlsplit(base)
            if parts.scheme == "https":
                trusting = ssl._create_unverified_context()
                connection = http.client.HTTPSConnection(parts.netloc, context=trusting)
            else:
                connection = http.client.HTTPConnection(parts.netloc)
            at = base
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        told.put(response.status)


threads = int(sys.argv[1])
for _ in range(threads):
    threading.Thread(target=ask, daemon=True).start()
print("ready", flush=True)
for phase, line in enumerate(sys.stdin, 1):
    base, count = line.split()
    for number in range(int(count)):
        work.put((base, f"/r{number}00{phase}/a"))
    answers = [told.get() for _ in range(int(count))]
    assert all(status == 200 for status in answers), answers
    print(f"asked {len(answers)}", flush=True)
