"""Pipelines, transactions, scripts, subscriptions and errors, inside TLS."""

import sys

import redis

password = open("password").read().strip()


def connect():
    return redis.Redis(port=int(sys.argv[1]), ssl=True, ssl_ca_certs="cert.pem", ssl_check_hostname=False, password=password)


server = connect()
# No call has more than what is kept of it: what lies behind that of a pipeline is a counted gap.
for batch in range(500):
    with server.pipeline(transaction=batch % 2 == 0) as pipeline:
        for number in range(10):
            pipeline.set(f"key{number}", number)
            pipeline.get(f"key{number}")
            if number == 5:
                pipeline.lpush("key1", "it is no list")
        pipeline.execute(raise_on_error=False)
subscriber = connect().pubsub()
subscriber.subscribe("news")
subscriber.get_message(timeout=5)
for number in range(50):
    server.publish("news", f"item {number}")
received = 0
while received < 50:
    message = subscriber.get_message(timeout=5)
    received += message is not None and message["type"] == "message"
print(received)
