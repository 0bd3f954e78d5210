"""As load.py, over gRPC: `grpc_load.py grpc PORT`. A trace that a call named though nobody named
one here must be well formed, and is counted."""

import hashlib
import json
import os
import random
import re
import sys
import threading

import grpc

CALLS_PER_CHANNEL = 60
LANES = 3
SIZES = (0, 1, 700, 5_000, 70_000, 400_000)

over = threading.Event()
lock = threading.Lock()
told = {"requests": 0, "bad": 0, "why": [], "inserted": 0}
CONTEXT = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")


def is_echo(answer, message):
    return answer[:32] == hashlib.sha256(message).digest() and answer[32:] == message


def is_context(call):
    """Whether what came of the call names one trace at most, as it should."""
    context = dict(call.trailing_metadata()).get("x-context", "")
    with lock:
        told["inserted"] += bool(context)
    return not context or CONTEXT.fullmatch(context)


def ask(once, each, chance):
    """What is wrong with one call; None if nothing is."""
    if chance.random() < 0.7:
        message = chance.randbytes(chance.choice(SIZES))
        answer, call = once.with_call(message, timeout=60)
        if not is_echo(answer, message):
            return f"{len(message)} bytes, not those that were sent"
        return None if is_context(call) else "another context"
    messages = [chance.randbytes(chance.choice(SIZES)) for _ in range(chance.randrange(5))]
    call = each(iter(messages), timeout=60)
    answers = list(call)
    if len(answers) != len(messages) or not all(map(is_echo, answers, messages)):
        return f"{len(messages)} messages, not those that were sent"
    return None if is_context(call) else "another context"


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
# Daemons have to start in time on a slow machine.
os.nice(10)
sys.stdin.read()
over.set()
for thread in lanes:
    thread.join()
print(json.dumps(told), flush=True)
