"""A client of soak/grpc_echo.py that tells which trace its calls were said to be of: each line of
standard input is a call, each answer a line `context VALUE`. `context.py PORT`"""

import sys

import grpc

with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
    once = channel.unary_unary("/soak.Echo/Once")
    print("ready", flush=True)
    for line in sys.stdin:
        _, call = once.with_call(line.encode(), timeout=60)
        print("context", dict(call.trailing_metadata()).get("x-context"), flush=True)
