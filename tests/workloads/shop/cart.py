"""The shop's cart, on asyncio: asks for the catalogue and for prices at the same time.

    cart.py PORT CATALOGUE PRICES     (ports of loopback)
"""

import asyncio
import sys

import aiohttp
from aiohttp import web

PORT, CATALOGUE, PRICES = map(int, sys.argv[1:])


async def order(request):
    session, number = request.app["session"], request.match_info["id"]

    async def ask(port, path):
        async with session.get(f"http://127.0.0.1:{port}/{number}/{path}") as response:
            response.raise_for_status()
            return await response.text()

    parts = await asyncio.gather(ask(CATALOGUE, "nested"), ask(PRICES, "one"))
    return web.Response(text="".join(parts))


async def session(app):
    # Fewer connections than there are requests at a time.
    app["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=40))
    yield
    await app["session"].close()


app = web.Application()
app.cleanup_ctx.append(session)
app.router.add_get("/{id}/order", order)
web.run_app(
    app,
    host="127.0.0.1",
    port=PORT,
    access_log=None,
    print=lambda *_: print("listening", flush=True),
)
