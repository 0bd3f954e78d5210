"""aiohttp's server over TLS, on asyncio's memory BIOs; tells each request that it answered as
a line
of JSON.

    aiohttp_server.py PORT CERT KEY

Query parameters choose the answer, as server.py has them.
"""

import asyncio
import json
import ssl
import sys

from aiohttp import web


async def answer(request):
    received = len(await request.read())
    status = int(request.query.get("status", 200))
    size = int(request.query.get("size", 5))
    bodiless = status in (204, 304)
    sent = 0 if bodiless or request.method == "HEAD" else size
    if "chunked" in request.query:
        response = web.StreamResponse(status=status)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for at in range(0, sent, 1000):
            await response.write(b"x" * min(1000, sent - at))
        await response.write_eof()
    else:
        response = web.Response(status=status, body=b"" if bodiless else b"x" * size)
        await response.prepare(request)
        await response.write_eof()
    told = {
        "method": request.method,
        "target": request.raw_path,
        "status": status,
        "request_body": received,
        "response_body": sent,
    }
    print(json.dumps(told), flush=True)
    return response


port, certificate, key = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
application = web.Application(client_max_size=1 << 24)
application.router.add_route("*", "/{path:.*}", answer)


async def main():
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(port), ssl_context=context).start()
    print("listening", flush=True)


loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.run_forever()
