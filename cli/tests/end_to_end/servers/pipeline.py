"""Requests of HTTP/1.1 of which some are under way at a time: bodies of many sizes, chunked answers, HEAD, errors, a body
that waits for `100 Continue`. Arguments: port, rounds."""

import http.client
import socket
import sys

PORT, ROUNDS = int(sys.argv[1]), int(sys.argv[2])
# The answers to those of a line have no more bytes than what is kept of a call, in which a client may read them all.
PIPELINES = [
    [("GET", "/small"), ("HEAD", "/large"), ("GET", "/away")],
    [("GET", "/none"), ("GET", "/chunked/small")],
    [("GET", "/broken"), ("GET", "/small?id=1")],
    [("GET", "/large")],
    [("HEAD", "/none"), ("GET", "/small")],
]


class Kept:
    """What http.client reads one response of a connection from."""

    def __init__(self, file):
        self.file = file

    def makefile(self, _mode):
        return self

    def __getattr__(self, name):
        return getattr(self.file, name)

    def close(self):
        pass


with socket.create_connection(("127.0.0.1", PORT)) as connection, connection.makefile("rb") as answers:
    for _ in range(ROUNDS):
        for requests in PIPELINES:
            text = "".join(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" for method, path in requests)
            connection.sendall(text.encode())
            for method, _path in requests:
                response = http.client.HTTPResponse(Kept(answers), method=method)
                response.begin()
                response.read()
for number in range(100):
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.request("POST", "/small", body=b"x" * number * 50, headers={"Expect": "100-continue", "Connection": "close"})
    connection.getresponse().read()
    connection.close()
