"""A client that believes nothing: what it sends and gets is compared with its SHA-256.

    load.py http|https PORT

Goes on until standard input ends; then a line of JSON: how many requests, how many of them bad, and
the first few of those. With TRUSTED in the environment, that authority's certificates are taken.
"""

import hashlib
import http.client
import json
import os
import random
import ssl
import sys
import threading

REQUESTS_PER_CONNECTION = 50
LANES = 4

over = threading.Event()
lock = threading.Lock()
told = {"requests": 0, "bad": 0, "why": []}


def connect():
    scheme, port = sys.argv[1], int(sys.argv[2])
    if scheme == "http":
        return http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    context = ssl.create_default_context(cafile=os.environ["TRUSTED"])
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)


def ask(connection, chance):
    """What is wrong with one request; None if nothing is."""
    size = chance.choice((0, 1, 700, 5_000, 70_000, 400_000))
    if chance.random() < 0.5:
        sent = chance.randbytes(size)
        sum_sent = hashlib.sha256(sent).hexdigest()
        connection.request("POST", "/echo", sent, {"X-Sum": sum_sent})
    else:
        sent = None
        connection.request("GET", f"/bytes/{size}")
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        return f"status {response.status}"
    if len(body) != size or (sent is not None and body != sent):
        return f"{len(body)} bytes that are not the {size} expected"
    if hashlib.sha256(body).hexdigest() != response.headers["X-Sum"]:
        return f"{size} bytes, not those of the sum"


def lane(seed):
    chance = random.Random(seed)
    while not over.is_set():
        connection = connect()
        for _ in range(REQUESTS_PER_CONNECTION):
            try:
                wrong = ask(connection, chance)
            except Exception as error:
                wrong = repr(error)
            with lock:
                told["requests"] += 1
                if wrong:
                    told["bad"] += 1
                    told["why"] = (told["why"] + [wrong])[:5]
            if wrong:
                # Whoever does not listen any more is asked again in a moment, not at once.
                over.wait(0.1)
            if wrong or over.is_set():
                break
        connection.close()


lanes = [threading.Thread(target=lane, args=(seed,)) for seed in range(LANES)]
for thread in lanes:
    thread.start()
print("ready", flush=True)
# Daemons have to start in time on a slow machine.
os.nice(10)
sys.stdin.read()
over.set()
for thread in lanes:
    thread.join()
print(json.dumps(told), flush=True)
