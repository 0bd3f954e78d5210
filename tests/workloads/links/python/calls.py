"""What handlers of the servers beside this file do: a few shapes of calls, all to one backend.

Each request's path is /ID/SHAPE, and each call that is made for it goes to /ID/... of the backend.
"""

import asyncio
import concurrent.futures
import os
import random
import threading
import time

BACKEND = f"http://127.0.0.1:{os.environ['BACKEND']}"
# Smaller than the number of requests at a time.
EXECUTOR = concurrent.futures.ThreadPoolExecutor(8)
_own = threading.local()


def blocking(path):
    """A call on this thread."""
    import requests

    if not hasattr(_own, "session"):
        _own.session = requests.Session()
    return _own.session.get(BACKEND + path).status_code


async def _soon():
    await asyncio.sleep(random.uniform(0, 0.005))


async def direct(get, base):
    await get(f"{base}/1")
    await _soon()
    await get(f"{base}/2")


async def hello(get, base):
    """As little as there can be, for who measures."""
    await get(f"{base}/1")


async def fan_out(get, base):
    await asyncio.gather(get(f"{base}/1"), get(f"{base}/2"), get(f"{base}/3"))


async def nested(get, base):
    async def deeper():
        await _soon()
        await asyncio.create_task(get(f"{base}/1"))

    task = asyncio.create_task(deeper())
    await asyncio.sleep(0)
    await asyncio.wait_for(get(f"{base}/2"), 30)
    await task


async def cancelled(get, base):
    """One call is given up before it is answered, most times; the other is not."""
    try:
        await asyncio.wait_for(get(f"{base}/1"), 0.004)
    except (asyncio.TimeoutError, OSError):
        pass
    await get(f"{base}/2")


async def threads(get, base):
    await asyncio.to_thread(blocking, f"{base}/1")
    await _soon()
    await asyncio.to_thread(blocking, f"{base}/2")


async def executor(get, base):
    loop = asyncio.get_running_loop()
    one = loop.run_in_executor(EXECUTOR, blocking, f"{base}/1")
    await loop.run_in_executor(EXECUTOR, blocking, f"{base}/2")
    await one


async def forgotten(get, base):
    """The second call may well come after the response."""
    async def late():
        await _soon()
        await get(f"{base}/2")

    await get(f"{base}/1")
    _kept.add(task := asyncio.create_task(late()))
    task.add_done_callback(_kept.discard)


_kept = set()
_workers = []


async def lazy(get, base):
    """Workers that the first request happens to start make the calls of all."""
    if not _workers:
        queue = asyncio.Queue()

        async def work():
            while True:
                path, done = await queue.get()
                done.set_result(await get(path))

        _workers.append(queue)
        _workers.extend(asyncio.create_task(work()) for _ in range(8))
    done = asyncio.get_running_loop().create_future()
    await _workers[0].put((f"{base}/1", done))
    await done


def sync_direct(base):
    blocking(f"{base}/1")
    time.sleep(random.uniform(0, 0.005))
    blocking(f"{base}/2")


def sync_executor(base):
    calls = [EXECUTOR.submit(blocking, f"{base}/{number}") for number in (1, 2)]
    for call in calls:
        call.result()


def sync_threads(base):
    threads = [threading.Thread(target=blocking, args=(f"{base}/{number}",)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def shape(path):
    """The function that a path names, and what its calls' paths begin with."""
    _, identity, name = path.split("?")[0].split("/")
    return globals()[name], f"/{identity}"
