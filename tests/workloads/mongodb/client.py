"""What the driver does, step by step as it is told on standard input. Which commands it gave to the
server, and what came of each, it says of itself (its command monitoring); after each step these are
printed, one a line, and `done`."""

import sys
import threading

sys.path.insert(0, sys.argv[1])

import pymongo
from pymongo import monitoring

port = int(sys.argv[2])
printing = threading.Lock()


class Told(monitoring.CommandListener):
    def __init__(self):
        self.started_with = {}

    def started(self, event):
        name = event.command_name
        collection = event.command.get("collection" if name == "getMore" else name)
        place = event.database_name
        if isinstance(collection, str):
            place += "." + collection
        self.started_with[event.request_id] = f"{name} {place}"

    def succeeded(self, event):
        errors = event.reply.get("writeErrors")
        self.tell(event, f" {errors[0]['code']}" if errors else "")

    def failed(self, event):
        self.tell(event, f" {event.failure['code']}")

    def tell(self, event, error):
        with printing:
            print("did " + self.started_with.pop(event.request_id) + error)


def connect(**options):
    return pymongo.MongoClient("127.0.0.1", port, event_listeners=[Told()], **options)


def names():
    client = connect()
    users = client.shop.users
    users.insert_one({"_id": 1, "name": "bob"})
    users.insert_many([{"_id": n, "name": "x" * 100} for n in range(2, 200)])
    users.find_one({"name": "bob"})
    assert len(list(users.find({}, batch_size=50))) == 199
    users.update_one({"_id": 1}, {"$set": {"name": "eve"}})
    users.find_one_and_update({"_id": 1}, {"$set": {"age": 3}})
    users.count_documents({})
    users.distinct("name")
    list(users.aggregate([{"$match": {"_id": 5}}]))
    users.delete_many({"_id": {"$gt": 100}})
    client.shop.list_collection_names()
    client.admin.command("ping")
    client.drop_database("shop")
    client.close()


def errors():
    client = connect()
    users = client.shop.failing
    users.insert_one({"_id": 1})
    for wrong in (
        lambda: users.insert_one({"_id": 1}),
        lambda: client.shop.command("noSuchCommand"),
        lambda: users.update_one({}, {"$nothing": {"a": 1}}),
    ):
        try:
            wrong()
        except pymongo.errors.PyMongoError:
            continue
        raise AssertionError("it should have failed")
    client.close()


def threads(count):
    """Many connections at a time, and documents that are longer than what is copied."""
    client = connect(maxPoolSize=8)

    def work(number):
        things = client.shop[f"of{number}"]
        for n in range(25):
            things.insert_one({"_id": n, "text": "y" * (n * 500)})
            assert len(things.find_one({"_id": n})["text"]) == n * 500

    all_of_them = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()
    client.close()


STEPS = {"names": names, "errors": errors, "threads": lambda: threads(8)}

print("ready", flush=True)
for line in sys.stdin:
    STEPS[line.strip()]()
    print("done", flush=True)
