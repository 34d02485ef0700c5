#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An upstream resolver for tests: resolver.py PORT [ADDRESS]. UDP and TCP; one line on stdout per question: "udp NAME TYPE".

example.com         A 192.0.2.1
big.example.com     A 192.0.2.1 … .60, cut (TC) over UDP
silent.example.com  no answer
anything else       NXDOMAIN
"""
import socket, struct, sys, threading

port, address = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"


def question(msg):
    at, labels = 12, []
    while msg[at]:
        labels.append(msg[at + 1:at + 1 + msg[at]].decode().lower())
        at += 1 + msg[at]
    return ".".join(labels), struct.unpack("!H", msg[at + 1:at + 3])[0], msg[12:at + 5]


def answer(msg, proto):
    name, kind, asked = question(msg)
    print(proto, name, kind, flush=True)
    if name == "silent.example.com":
        return None
    hosts = {"example.com": 1, "big.example.com": 60}.get(name, 0) if kind == 1 else 0
    cut = hosts > 20 and proto == "udp"
    flags = 0x8180 | (0x200 if cut else 0) | (0 if hosts else 3)
    records = b"".join(struct.pack("!HHHIH4B", 0xC00C, 1, 1, 30, 4, 192, 0, 2, i + 1) for i in range(0 if cut else hosts))
    return msg[:2] + struct.pack("!HHHHH", flags, 1, 0 if cut else hosts, 0, 0) + asked + records


def whole(conn, n):
    data = b""
    while len(data) < n:
        piece = conn.recv(n - len(data))
        if not piece:
            return None
        data += piece
    return data


def serve(conn):
    with conn:
        while head := whole(conn, 2):
            msg = whole(conn, struct.unpack("!H", head)[0])
            reply = answer(msg, "tcp")
            if reply:
                conn.sendall(struct.pack("!H", len(reply)) + reply)


def serve_tcp(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server((address, port))
threading.Thread(target=serve_tcp, args=(listener,), daemon=True).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((address, port))
while True:
    data, sender = udp.recvfrom(4096)
    reply = answer(data, "udp")
    if reply:
        udp.sendto(reply, sender)
