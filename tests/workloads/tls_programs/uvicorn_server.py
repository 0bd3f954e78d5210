"""uvicorn over TLS with an ASGI application; tells each request that it answered as a line of JSON.

    uvicorn_server.py PORT CERT KEY

Query parameters choose the answer, as server.py has them.
"""

import json
import sys
import urllib.parse

import uvicorn


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    received = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        received += len(message.get("body", b""))
        more = message.get("more_body", False)
    query = urllib.parse.parse_qs(scope["query_string"].decode())
    status = int(query.get("status", ["200"])[0])
    size = int(query.get("size", ["5"])[0])
    bodiless = status in (204, 304)
    sent = 0 if bodiless or scope["method"] == "HEAD" else size
    # Without a length, uvicorn sends chunks.
    headers = []
    if not bodiless and "chunked" not in query:
        headers.append((b"content-length", b"%d" % size))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * sent})
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    told = {
        "method": scope["method"],
        "target": target.decode(),
        "status": status,
        "request_body": received,
        "response_body": sent,
    }
    print(json.dumps(told), flush=True)


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        print("listening", flush=True)


port, certificate, key = sys.argv[1:]
config = uvicorn.Config(
    application,
    host="127.0.0.1",
    port=int(port),
    ssl_certfile=certificate,
    ssl_keyfile=key,
    log_level="warning",
)
Server(config).run()
