"""Asks a name server over UDP and TCP. Arguments: address, rounds."""

import sys

import dns.message
import dns.query
import dns.rcode

ADDRESS, ROUNDS = sys.argv[1], int(sys.argv[2])
for number in range(ROUNDS):
    for name, kind, ask, expected in [
        ("shop.test", "A", dns.query.udp, dns.rcode.NOERROR),
        ("shop.test", "AAAA", dns.query.udp, dns.rcode.NOERROR),
        ("shop.test", "A", dns.query.tcp, dns.rcode.NOERROR),
        ("missing.test", "A", dns.query.udp, dns.rcode.NXDOMAIN),
        ("elsewhere.example", "A", dns.query.udp, dns.rcode.REFUSED),
    ]:
        answer = ask(dns.message.make_query(name, kind, use_edns=number % 2 == 0), ADDRESS, timeout=5)
        assert answer.rcode() == expected, (name, answer)
