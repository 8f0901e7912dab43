"""A gRPC server and its client: unary calls and streams, well and with errors. Prints each status and how many calls had it.

Argument: port."""

import collections
import sys
from concurrent import futures

import grpc

ADDRESS = f"127.0.0.1:{sys.argv[1]}"
ERRORS = [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INTERNAL]


def echo(request, context):
    if request.startswith(b"wrong"):
        context.abort(ERRORS[request[-1] % len(ERRORS)], "as asked for")
    return request


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def collect(requests, context):
    return b"%d" % sum(1 for _ in requests)


handlers = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
}
server = grpc.server(futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Shop", handlers)])
server.add_insecure_port(ADDRESS)
server.start()

found = collections.Counter()
with grpc.insecure_channel(ADDRESS) as channel:
    call, stream, send = channel.unary_unary("/shop.Shop/Echo"), channel.unary_stream("/shop.Shop/Count"), channel.stream_unary("/shop.Shop/Collect")
    missing = channel.unary_unary("/shop.Shop/Missing")
    for number in range(800):
        assert call(b"x" * (number % 300)).startswith(b"x" * (number % 300))
        found["OK"] += 1
        if number % 4 == 0:
            try:
                call(b"wrong%d" % number)
            except grpc.RpcError as error:
                found[error.code().name] += 1
            try:
                missing(b"")
            except grpc.RpcError as error:
                found[error.code().name] += 1
            assert len(list(stream(b"5"))) == 5
            assert send(iter([b"a", b"b"])) == b"2"
            found["OK"] += 2
    # Many at a time.
    for batch in range(100):
        for future in [call.future(b"y") for _ in range(4)]:
            future.result()
            found["OK"] += 1
server.stop(1).wait()
for status, number in found.items():
    print(status, number)
