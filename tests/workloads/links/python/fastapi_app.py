"""FastAPI with httpx: `fastapi_app.py PORT [LOOP] [HTTP]`, as uvicorn names them."""

import os
import sys

import httpx
import uvicorn
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse

import calls

app = FastAPI()
client = None


if os.environ.get("MIDDLEWARE"):

    @app.middleware("http")
    async def pass_on(request: Request, call_next):
        return await call_next(request)


async def get(path):
    global client
    if client is None:
        limits = httpx.Limits(max_connections=int(os.environ.get("POOL", "200")))
        client = httpx.AsyncClient(limits=limits, timeout=60)
    return (await client.get(calls.BACKEND + path)).status_code


@app.get("/{identity}/background")
async def background(identity: str, tasks: BackgroundTasks):
    await get(f"/{identity}/1")
    tasks.add_task(get, f"/{identity}/2")
    return {}


@app.get("/{identity}/streamed")
async def streamed(identity: str):
    async def parts():
        yield b"{"
        await get(f"/{identity}/2")
        yield b"}"

    await get(f"/{identity}/1")
    return StreamingResponse(parts())


@app.get("/{identity}/on_thread")
def on_thread(identity: str):
    calls.sync_direct(f"/{identity}")
    return {}


@app.get("/{identity}/{name}")
async def any_shape(identity: str, name: str):
    await getattr(calls, name)(get, f"/{identity}")
    return {}


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("listening", flush=True)


arguments = dict(zip(("loop", "http"), sys.argv[2:]))
config = uvicorn.Config(app, port=int(sys.argv[1]), log_level="warning", **arguments)
Server(config).run()
