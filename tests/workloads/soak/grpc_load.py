"""As load.py, over gRPC: `grpc_load.py grpc PORT`."""

import hashlib
import json
import random
import sys
import threading

import grpc

CALLS_PER_CHANNEL = 60
LANES = 3
SIZES = (0, 1, 700, 5_000, 70_000, 400_000)

over = threading.Event()
lock = threading.Lock()
told = {"requests": 0, "bad": 0, "why": []}


def is_echo(answer, message):
    return answer[:32] == hashlib.sha256(message).digest() and answer[32:] == message


def ask(once, each, chance):
    """What is wrong with one call; None if nothing is."""
    if chance.random() < 0.7:
        message = chance.randbytes(chance.choice(SIZES))
        if not is_echo(once(message, timeout=60), message):
            return f"{len(message)} bytes, not those that were sent"
        return None
    messages = [chance.randbytes(chance.choice(SIZES)) for _ in range(chance.randrange(5))]
    answers = list(each(iter(messages), timeout=60))
    if len(answers) != len(messages) or not all(map(is_echo, answers, messages)):
        return f"{len(messages)} messages, not those that were sent"
    return None


def lane(seed):
    chance = random.Random(seed)
    while not over.is_set():
        # Else channels with the same settings share a connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{sys.argv[2]}", options) as channel:
            once = channel.unary_unary("/soak.Echo/Once")
            each = channel.stream_stream("/soak.Echo/Each")
            for _ in range(CALLS_PER_CHANNEL):
                try:
                    wrong = ask(once, each, chance)
                except Exception as error:
                    wrong = repr(error)
                with lock:
                    told["requests"] += 1
                    if wrong:
                        told["bad"] += 1
                        told["why"] = (told["why"] + [wrong])[:5]
                if wrong:
                    over.wait(0.1)
                if wrong or over.is_set():
                    break


lanes = [threading.Thread(target=lane, args=(seed,)) for seed in range(LANES)]
for thread in lanes:
    thread.start()
print("ready", flush=True)
sys.stdin.read()
over.set()
for thread in lanes:
    thread.join()
print(json.dumps(told), flush=True)
