"""Serves and asks `https://127.0.0.1:PORT/x` and, each fourth time, `/missing`: by asyncio, which moves the bytes itself,
or by sockets, which the library moves them on."""

import asyncio
import http.client
import http.server
import os
import ssl
import sys
import threading

PORT, COUNT, HOW = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
CLIENTS = 5


def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    directory = os.environ["DIRECTORY"]
    context.load_cert_chain(f"{directory}/cert.pem", f"{directory}/key.pem")
    return context


def client_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def path(number):
    return "/missing" if number % 4 == 0 else "/x"


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            status = b"404 Not Found" if b"missing" in head else b"200 OK"
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 5\r\n\r\nhello" % status)
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


async def ask():
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, ssl=client_context())
    for number in range(COUNT // CLIENTS):
        writer.write(f"GET {path(number)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await writer.drain()
        await reader.readuntil(b"hello")
    writer.close()


async def by_asyncio():
    await asyncio.start_server(serve, "127.0.0.1", PORT, ssl=server_context())
    await asyncio.gather(*[ask() for _ in range(CLIENTS)])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else each answer waits for the acknowledgement of its head.
    disable_nagle_algorithm = True

    def do_GET(self):
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


def by_sockets():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    server.socket = server_context().wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for _ in range(CLIENTS):
        client = http.client.HTTPSConnection("127.0.0.1", PORT, context=client_context())
        for number in range(COUNT // CLIENTS):
            client.request("GET", path(number))
            client.getresponse().read()
        client.close()


if HOW == "asyncio":
    asyncio.run(by_asyncio())
else:
    by_sockets()
