"""aiohttp, as a server and as a client: `aiohttp_app.py PORT [uvloop]`."""

import os
import sys

import aiohttp
from aiohttp import web

import calls


async def serve(request):
    async def get(path):
        async with request.app["session"].get(calls.BACKEND + path) as response:
            await response.read()
            return response.status

    shape, base = calls.shape(request.path)
    await shape(get, base)
    return web.json_response({})


async def session(app):
    connector = aiohttp.TCPConnector(limit=int(os.environ.get("POOL", "200")))
    app["session"] = aiohttp.ClientSession(connector=connector)
    yield
    await app["session"].close()


async def application():
    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_get("/{identity}/{name}", serve)
    return app


loop = None
if "uvloop" in sys.argv:
    import uvloop

    loop = uvloop.new_event_loop()
web.run_app(
    application(),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    access_log=None,
    loop=loop,
    print=lambda *_: print("listening", flush=True),
)
