"""A client of NATS: messages with and without headers, subscriptions, and errors that a verbose connection is told of.

Arguments: port, `tls` or `plain`. Prints how many messages were sent, how many of those failed, and how many came."""

import json
import socket
import ssl
import sys

PORT, IS_TLS = int(sys.argv[1]), sys.argv[2] == "tls"
PASSWORD = open("password").read().strip()


class Client:
    def __init__(self, **options):
        self.socket = socket.create_connection(("127.0.0.1", PORT))
        # The server greets in plain, also before TLS; no byte behind its line is read.
        while not self.socket.recv(1, socket.MSG_PEEK):
            pass
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.socket.recv(1)
        if IS_TLS:
            self.socket = ssl.create_default_context(cafile="cert.pem").wrap_socket(self.socket, server_hostname="localhost")
        self.lines = self.socket.makefile("rb")
        self.send(b"CONNECT " + json.dumps({"user": "tester", "pass": PASSWORD, "headers": True, **options}).encode() + b"\r\nPING\r\n")
        while self.lines.readline() != b"PONG\r\n":
            pass

    def send(self, data):
        self.socket.sendall(data)

    def wait(self):
        """Until the server has done all; the messages that came meanwhile."""
        self.send(b"PING\r\n")
        came = 0
        while (line := self.lines.readline()) != b"PONG\r\n":
            word = line.split(b" ")[0]
            if word in (b"MSG", b"HMSG"):
                self.lines.read(int(line.split()[-1]) + 2)
                came += 1
        return came


def message(subject, data, headers=b""):
    if headers:
        headers = b"NATS/1.0\r\n" + headers + b"\r\n\r\n"
        return b"HPUB %s %d %d\r\n%s%s\r\n" % (subject, len(headers), len(headers) + len(data), headers, data)
    return b"PUB %s %d\r\n%s\r\n" % (subject, len(data), data)


sent = failed = came = 0
subscriber, publisher = Client(verbose=False), Client(verbose=False)
subscriber.send(b"SUB news.* 1\r\n")
subscriber.wait()
for batch in range(300):
    publisher.send(b"".join(message(b"news.%d" % number, b"x" * (number * batch % 100)) for number in range(5)))
    publisher.send(message(b"news.head", b"text", b"Key: value"))
    publisher.send(message(b"nobody", b"text"))
    sent += 7
    publisher.wait()
    # Before more comes than is kept of one call.
    came += subscriber.wait()
verbose = Client(verbose=True, pedantic=True)
for number in range(100):
    verbose.send(message(b"news.told", b"text"))
    assert verbose.lines.readline() == b"+OK\r\n"
    verbose.send(message(b"forbidden", b"text"))
    assert verbose.lines.readline().startswith(b"-ERR 'Permissions Violation")
    sent += 2
    failed += 1
    came += subscriber.wait()
print(sent, failed, came)
