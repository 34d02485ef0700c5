# SPDX-License-Identifier: Apache-2.0
"""A datagram echo for tests: answers each datagram with "PORT " and what came."""
import os, socket

port = int(os.environ["PORT0"])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", port))
while True:
    data, sender = sock.recvfrom(2048)
    sock.sendto(b"%d %s" % (port, data), sender)
