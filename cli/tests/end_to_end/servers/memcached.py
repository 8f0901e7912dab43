"""Commands of every kind, in text by pymemcache and pipelined, meta, and binary. Prints how many were carried out how many
failed, and how many nobody answers."""

import socket
import struct
import sys

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError

PORT = int(sys.argv[1])
done = failed = silent = 0


def by_driver():
    global done, failed, silent
    client = Client(("127.0.0.1", PORT), default_noreply=False)
    for number in range(1000):
        key = f"key{number % 50}"
        client.set(key, "v" * (number % 2000))
        client.get(key)
        client.get("missing")
        done += 3
    _, unique = client.gets("key1")
    client.cas("key1", "once", unique)
    client.cas("key1", "twice", unique)
    client.add("key1", "there already")
    client.append("key1", "more")
    client.touch("key1", 100)
    client.delete("key1")
    client.delete("key1")
    client.set("count", "1")
    client.incr("count", 4)
    client.set("quiet", "x", noreply=True)
    client.get_many([f"key{number}" for number in range(50)])
    done += 11
    silent += 1
    client.set("text", "no number")
    done += 1
    try:
        client.incr("text", 1)
        raise AssertionError("it has no number")
    except MemcacheError:
        failed += 1
    client.close()


def by_text():
    """Commands of which many are under way."""
    global done, failed, silent
    with socket.create_connection(("127.0.0.1", PORT)) as connection, connection.makefile("rb") as answers:
        for batch in range(200):
            connection.sendall(
                b"set a 0 0 5\r\nhello\r\nget a nothing\r\nget nothing\r\nincr a 1\r\nbogus\r\nset n 0 0 1 noreply\r\n5\r\n"
                b"incr n 1\r\nms m 3\r\nabc\r\nmg m v t\r\nmg nothing v\r\nmd m q\r\nmn\r\n"
            )
            while answers.readline() != b"MN\r\n":
                pass
            done += 9
            silent += 1
            failed += 2


def packet(opcode, key=b"", extras=b"", value=b"", opaque=0):
    head = struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(key) + len(extras) + len(value), opaque, 0)
    return head + extras + key + value


def by_binary():
    global done, failed, silent
    with socket.create_connection(("127.0.0.1", PORT)) as connection, connection.makefile("rb") as answers:
        for batch in range(300):
            store = struct.pack(">II", 0, 0)
            count = struct.pack(">QQI", 1, 1, 0)
            connection.sendall(
                packet(0x01, b"b", store, b"text", 1)
                + packet(0x00, b"b", opaque=2)
                + packet(0x00, b"nothing", opaque=3)
                # Quiet: a value, a miss that nobody answers, a store that is not answered.
                + packet(0x09, b"b", opaque=4)
                + packet(0x09, b"nothing", opaque=5)
                + packet(0x11, b"q", store, b"x" * 500, 6)
                + packet(0x05, b"n%d" % batch, count, opaque=7)
                + packet(0x05, b"b", count, opaque=8)
                + packet(0x0A, opaque=9)
            )
            opaque = 0
            while opaque != 9:
                head = answers.read(24)
                opaque = struct.unpack(">I", head[12:16])[0]
                answers.read(struct.unpack(">I", head[8:12])[0])
            done += 8
            failed += 1


by_driver()
by_text()
by_binary()
print(done, failed, silent)
