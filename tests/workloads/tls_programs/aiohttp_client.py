"""aiohttp's client, on asyncio's memory BIOs: each line of standard input is a request, METHOD URL
BODY_BYTES; each answer becomes a line of JSON. `*N` before a line sends it N times at once, over as
many connections as the pool opens. PROXY may name a proxy.
"""

import asyncio
import json
import os
import ssl
import sys
import urllib.parse

import aiohttp


async def send(session, method, url, size):
    body = b"y" * size if size else None
    async with session.request(
        method, url, data=body, proxy=os.environ.get("PROXY")
    ) as answer:
        received = len(await answer.read())
    parts = urllib.parse.urlsplit(url)
    print(
        json.dumps(
            {
                "method": method,
                "target": parts.path + ("?" + parts.query if parts.query else ""),
                "status": answer.status,
                "request_body": size,
                "response_body": received,
            }
        ),
        flush=True,
    )


async def main():
    trusted = ssl.create_default_context(cafile=os.environ["TRUSTED"])
    loop = asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(connector=connector) as session:
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            words = line.split()
            times = int(words.pop(0)[1:]) if words[0].startswith("*") else 1
            method, url, size = words
            await asyncio.gather(
                *(send(session, method, url, int(size)) for _ in range(times))
            )


asyncio.run(main())
