"""A gRPC server on grpcio that tells the truth: `server.py PORT [CERTIFICATE KEY]`, see
shapes.proto. A call whose client went away is told as CANCELLED."""

import concurrent.futures
import json
import os
import signal
import sys
import threading

import grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}
HEALTHY = b"\x08\x01"


def words(message):
    pairs = (word.split("=") for word in message.decode().split(" ") if "=" in word)
    return {key: int(value) for key, value in pairs}


class Call:
    def __init__(self, rpc, context):
        self.rpc, self.context = rpc, context
        self.requests = self.responses = 0
        self.plan = {}
        self.gone = threading.Event()
        context.add_callback(self.gone.set)

    def read(self, message):
        if self.requests == 0:
            self.plan = words(message)
        self.requests += 1

    def reply(self):
        self.responses += 1
        return b"x" * self.plan.get("reply", 10)

    def end(self):
        """Waits as long as asked, tells, and ends the call badly if that is asked."""
        code = CODES[self.plan.get("code", 0)]
        delay = self.plan.get("delay", 0) / 1000
        gone = self.gone.wait(delay) if delay else self.gone.is_set()
        if gone:
            code = grpc.StatusCode.CANCELLED
        self.tell(code)
        if code != grpc.StatusCode.OK:
            self.context.abort(code, "as told")

    def tell(self, code):
        truth = {"rpc": self.rpc, "status": code.name, "requests": self.requests}
        # A message that comes with the end was not yet sent.
        sole = self.rpc.endswith(("/Unary", "/ClientStream"))
        truth["responses"] = int(code == grpc.StatusCode.OK) if sole else self.responses
        os.write(1, (json.dumps(truth) + "\n").encode())

    def left(self):
        """The client went away between two messages: nobody asks for the next."""
        self.tell(grpc.StatusCode.CANCELLED)


def serve(rpc):
    def unary(message, context):
        call = Call(rpc, context)
        call.read(message)
        call.end()
        return call.reply()

    def server_stream(message, context):
        call = Call(rpc, context)
        call.read(message)
        for _ in range(call.plan.get("count", 1)):
            try:
                yield call.reply()
            except GeneratorExit:
                return call.left()
        call.end()

    def client_stream(messages, context):
        call = Call(rpc, context)
        for message in messages:
            call.read(message)
        call.end()
        return call.reply()

    def bidi(messages, context):
        call = Call(rpc, context)
        for message in messages:
            call.read(message)
            try:
                yield call.reply()
            except GeneratorExit:
                return call.left()
        call.end()

    shapes = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    }
    return shapes[rpc.split("/")[1]]


def health(_message, _context):
    truth = {"rpc": "grpc.health.v1.Health/Check", "status": "OK", "requests": 1, "responses": 1}
    os.write(1, (json.dumps(truth) + "\n").encode())
    return HEALTHY


class Handlers(grpc.GenericRpcHandler):
    methods = {
        f"/wirespan.test.Shapes/{shape}": serve(f"wirespan.test.Shapes/{shape}")
        for shape in ("Unary", "ServerStream", "ClientStream", "Bidi")
    } | {"/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(health)}

    def service(self, details):
        return self.methods.get(details.method)


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server = grpc.server(
    concurrent.futures.ThreadPoolExecutor(128),
    [Handlers()],
    options=[("grpc.max_metadata_size", 64 * 1024), ("grpc.so_reuseport", 0)],
)
address = f"127.0.0.1:{sys.argv[1]}"
if len(sys.argv) > 2:
    certificate, key = (open(path, "rb").read() for path in sys.argv[2:4])
    server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
else:
    server.add_insecure_port(address)
server.start()
print("listening", flush=True)
server.wait_for_termination()
