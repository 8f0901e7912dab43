"""Pipelines of statements, every other one with an error in its middle. Prints how many statements the server skipped."""

import sys

import psycopg
from psycopg.pq import ExecStatus, PGconn

with psycopg.connect(autocommit=True) as connection:
    # One that the driver prepares under a name after some times.
    for number in range(20):
        connection.execute("SELECT abalance FROM pgbench_accounts WHERE aid = %s", [number])

skipped = 0
server = PGconn.connect(b"")
server.enter_pipeline_mode()
for batch in range(int(sys.argv[1])):
    for place in range(10):
        divisor = 0 if batch % 2 == 1 and place == 6 else 1
        server.send_query_params(b"SELECT $1::int / $2::int", [b"%d" % place, b"%d" % divisor])
    server.pipeline_sync()
    # Each result is followed by nothing.
    while (result := server.get_result()) is None or result.status != ExecStatus.PIPELINE_SYNC:
        skipped += result is not None and result.status == ExecStatus.PIPELINE_ABORTED
print(skipped)
