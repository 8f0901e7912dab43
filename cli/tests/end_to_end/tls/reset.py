"""A server that resets each connection after its answer, and a client that decrypts the answer only then.

Arguments: port, number of connections. `cert.pem` and `key.pem` lie in the current folder."""

import socket
import ssl
import struct
import sys
import threading
import time

PORT, COUNT = int(sys.argv[1]), int(sys.argv[2])


def serve(listener):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    for _ in range(COUNT):
        accepted, _address = listener.accept()
        connection = context.wrap_socket(accepted, server_side=True)
        connection.recv(1000)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        # The client has it, and does not look at it yet.
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def ask():
    context = ssl.create_default_context(cafile="cert.pem")
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(into, out, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(out.read())
                into.write(connection.recv(16384))
        session.write(b"GET /reset HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.sendall(out.read())
        received = []
        try:
            while bytes_of_server := connection.recv(16384):
                received.append(bytes_of_server)
        except ConnectionResetError:
            pass
    into.write(b"".join(received))
    assert session.read(1000).startswith(b"HTTP/1.1 200")


listener = socket.create_server(("127.0.0.1", PORT))
server = threading.Thread(target=serve, args=(listener,))
server.start()
for _ in range(COUNT):
    ask()
server.join()
