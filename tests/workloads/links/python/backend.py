"""Answers any request after some milliseconds."""

import asyncio
import random
import sys


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffered = transport, b""

    def data_received(self, data):
        self.buffered += data
        while b"\r\n\r\n" in self.buffered:
            _, self.buffered = self.buffered.split(b"\r\n\r\n", 1)
            asyncio.get_running_loop().call_later(random.uniform(0.001, 0.01), self.answer)

    def answer(self):
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", int(sys.argv[1]), backlog=1000)
    print("listening", flush=True)
    await server.serve_forever()


asyncio.run(main())
