"""What redis-py does, step by step as it is told on standard input. After each step it prints the
commands that it gave to the server, one a line, in the words of `db.query.text`, and `done`."""

import sys
import threading

sys.path.insert(0, sys.argv[1])

import redis

port = int(sys.argv[2])


def connect(**options):
    return redis.Redis(port=port, decode_responses=True, **options)


def tell(*commands):
    for command in commands:
        print("did " + command)


def types(protocol):
    client = connect(db=2, protocol=protocol)
    client.set("a", "b")
    client.get("a")
    client.get("missing")
    client.hset("h", mapping={"x": 1, "y": 2})
    client.hgetall("h")
    client.rpush("l", *range(5))
    client.lrange("l", 0, -1)
    client.sadd("s", "x", "y")
    client.smembers("s")
    client.zadd("z", {"x": 1.5})
    client.zrange("z", 0, -1, withscores=True)
    client.xadd("stream", {"f": "v"})
    client.xrange("stream")
    tell("SELECT ?", "SET ? ?", "GET ?", "GET ?", "HSET ? ? ? ? ?", "HGETALL ?")
    tell("RPUSH ? ? ? ? ? ?", "LRANGE ? ? ?", "SADD ? ? ?", "SMEMBERS ?", "ZADD ? ? ?")
    tell("ZRANGE ? ? ? ?", "XADD ? ? ? ?", "XRANGE ? ? ?", "FLUSHDB")
    try:
        client.incr("l")
    except redis.ResponseError:
        tell("INCRBY ? ? WRONGTYPE")
    try:
        client.execute_command("EVALSHA", "0" * 40, 0)
    except redis.exceptions.NoScriptError:
        tell("EVALSHA ? ? NOSCRIPT")
    client.eval("return {1, redis.call('get', KEYS[1]), {ok='fine'}}", 1, "a")
    tell("EVAL ? ? ?")
    client.flushdb()
    client.close()


def pipeline(count):
    client = connect()
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        pipe.set(f"k{number}", number)
    pipe.execute()
    tell(*["SET ? ?"] * count)
    with client.pipeline(transaction=True) as pipe:
        pipe.incr("n")
        pipe.get("n")
        pipe.execute()
    tell("MULTI", "INCRBY ? ?", "GET ?", "EXEC")
    client.close()


def topics(protocol):
    client, other = connect(protocol=protocol), connect(protocol=protocol)
    subscriber = client.pubsub()
    subscriber.subscribe("a", "b")
    subscriber.psubscribe("c*")
    seen = [subscriber.get_message(timeout=10) for _ in range(3)]
    for number in range(10):
        other.publish("a", number)
        other.publish("cx", number)
    seen += [subscriber.get_message(timeout=10) for _ in range(20)]
    subscriber.unsubscribe()
    subscriber.punsubscribe()
    seen += [subscriber.get_message(timeout=10) for _ in range(3)]
    assert all(seen), seen
    tell("SUBSCRIBE ? ?", "PSUBSCRIBE ?", *["PUBLISH ? ?"] * 20, "UNSUBSCRIBE", "PUNSUBSCRIBE")
    subscriber.close()
    client.close()
    other.close()


def monitor():
    client, other = connect(), connect()
    with client.monitor() as watched:
        other.set("a", "b")
        while watched.next_command()["command"] != "SET a b":
            pass
        other.get("a")
        while watched.next_command()["command"] != "GET a":
            pass
    tell("MONITOR", "SET ? ?", "GET ?")
    client.close()
    other.close()


def large(size):
    client = connect()
    client.set("large", "v" * size)
    assert len(client.get("large")) == size
    client.mget("a", "large")
    client.delete("large")
    client.ping()
    tell("SET ? ?", "GET ?", "MGET ? ?", "DEL ?", "PING")
    client.close()


def waiting():
    client, other = connect(), connect()
    waiter = threading.Thread(target=lambda: client.blpop("q", 60))
    waiter.start()
    while not any(entry["cmd"] == "blpop" for entry in other.client_list()):
        pass
    other.rpush("q", "x")
    waiter.join()
    client.blpop("q", 0.05)
    tell("BLPOP ? ?", "RPUSH ? ?", "BLPOP ? ?")
    client.close()
    other.close()


def crowd(count):
    barrier = threading.Barrier(count)

    def one(number):
        client = connect()
        client.ping()
        barrier.wait()
        for turn in range(5):
            client.set(f"{number}-{turn}", turn)
            assert client.get(f"{number}-{turn}") == str(turn)
        client.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell(*["PING"] * count, *["SET ? ?", "GET ?"] * count * 5)


for line in sys.stdin:
    step, *arguments = line.split()
    globals()[step](*map(int, arguments))
    print("done", flush=True)
