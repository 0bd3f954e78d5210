"""A gRPC server that sends back what it gets, with its SHA-256: `grpc_echo.py PORT`. Once, and for
each message of a stream. The trace that a call named comes back as `x-context` behind the
answer."""

import concurrent.futures
import hashlib
import sys

import grpc


def summed(message):
    return hashlib.sha256(message).digest() + message


def tell_context(context):
    named = [value for key, value in context.invocation_metadata() if key == "traceparent"]
    context.set_trailing_metadata([("x-context", ",".join(named))])


def once(message, context):
    tell_context(context)
    return summed(message)


def each(messages, context):
    tell_context(context)
    for message in messages:
        yield summed(message)


server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
handlers = {
    "Once": grpc.unary_unary_rpc_method_handler(once),
    "Each": grpc.stream_stream_rpc_method_handler(each),
}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("soak.Echo", handlers)])
if server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}") == 0:
    sys.exit("the port is taken")
server.start()
print("listening", flush=True)
server.wait_for_termination()
