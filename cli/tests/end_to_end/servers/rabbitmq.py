"""Messages to and from RabbitMQ by pika: plain, confirmed, refused, returned, fetched and consumed, on several channels.

Arguments: port, `tls` or `plain`. Prints how many were sent without and with confirmation, how many of these failed, and
how many came."""

import ssl
import sys

import pika
from pika.exceptions import NackError, UnroutableError

options = None
if sys.argv[2] == "tls":
    options = pika.SSLOptions(ssl.create_default_context(cafile="cert.pem"), "localhost")
login = pika.PlainCredentials("guest", "guest")
connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(sys.argv[1]), credentials=login, ssl_options=options)
)
plain, confirmed, reader = connection.channel(), connection.channel(), connection.channel()
confirmed.confirm_delivery()
plain.queue_declare("orders")
plain.queue_declare("full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
sent = sure = failed = came = 0
for number in range(1000):
    headers = pika.BasicProperties(headers={"number": number})
    plain.basic_publish("", "orders", b"x" * (number * 7 % 3000), headers)
    sent += 1
    confirmed.basic_publish("", "orders", b"sure", headers)
    sure += 1
    if number % 5 == 0:
        try:
            sure += 1
            confirmed.basic_publish("", "nowhere", b"returned", mandatory=True)
        except UnroutableError:
            failed += 1
        try:
            sure += 1
            confirmed.basic_publish("", "full", b"refused but for the first")
        except NackError:
            failed += 1
    if number % 2 == 0:
        method, _, _ = reader.basic_get("orders", auto_ack=True)
        came += method is not None
# One at a time: of what comes in one call, only the first part is kept.
reader.basic_qos(prefetch_count=1)
for method, _, _ in reader.consume("orders", inactivity_timeout=2):
    if method is None:
        break
    reader.basic_ack(method.delivery_tag)
    came += 1
connection.close()
print(sent, sure, failed, came)
