"""A gRPC client on grpcio that tells the truth: `client.py PORT [AUTHORITY_CERTIFICATE]`, see
shapes.proto. All calls share one channel, and so one connection."""

import json
import os
import sys
import threading

import grpc

OWN = ("send", "size", "deadline", "cancel", "meta", "repeat", "parallel")


def tell(rpc, status, requests, responses):
    truth = {"rpc": rpc, "status": status.name, "requests": requests, "responses": responses}
    os.write(1, (json.dumps(truth) + "\n").encode())


def one(channel, shape, words):
    rpc = words.get("method", f"wirespan.test.Shapes/{shape}")
    number = lambda key, default: int(words.get(key, default))
    plan = "".join(f"{k}={v} " for k, v in words.items() if k not in OWN + ("method",))
    message = plan.encode().ljust(number("size", 10), b".")
    if "method" in words:
        message = b""
    many = shape in ("ClientStream", "Bidi")
    send = number("send", 1) if many else 1
    options = {
        "timeout": number("deadline", 20_000) / 1000,
        "metadata": [("x-meta", "m" * number("meta", 0))] if "meta" in words else None,
    }
    kind = ("stream" if many else "unary") + "_" + (
        "stream" if shape in ("ServerStream", "Bidi") else "unary"
    )
    invoke = getattr(channel, kind)("/" + rpc)
    argument = iter([message] * send) if many else message
    responses = 0
    try:
        if kind.endswith("unary"):
            _, call = invoke.with_call(argument, **options)
            return tell(rpc, call.code(), send, 1)
        call = invoke(argument, **options)
        for _ in call:
            responses += 1
            if responses == number("cancel", -1):
                call.cancel()
        status = call.code()
    except grpc.RpcError as error:
        status = error.code()
    tell(rpc, status, send, responses)


if len(sys.argv) > 2:
    credentials = grpc.ssl_channel_credentials(open(sys.argv[2], "rb").read())
    channel = grpc.secure_channel(f"localhost:{sys.argv[1]}", credentials)
else:
    channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}")
print("ready", flush=True)
for line in sys.stdin:
    shape, *rest = line.split()
    words = dict(word.split("=") for word in rest)
    for _ in range(int(words.get("repeat", 1))):
        threads = [
            threading.Thread(target=one, args=(channel, shape, words))
            for _ in range(int(words.get("parallel", 1)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
channel.close()
print("done", flush=True)
