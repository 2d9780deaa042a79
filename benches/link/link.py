#!/usr/bin/env python3
"""A link with delay, loss and a rate between two network namespaces, for kernels without netem.

Each namespace gets a TUN device; this process reads the packets of one and writes them to the other,
later or not at all. Both directions are alike. Needs root. Prints a line when the link stands, and
takes it down when its standard input ends. A line there, such as "delay 30 loss 0.03 rate 8 queue 64",
changes what it names, for packets that come from then on.
"""

import argparse
import collections
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
MTU = 1500


def ip(*args, may_fail=False):
    subprocess.run(["ip", *args], check=not may_fail, stderr=subprocess.DEVNULL if may_fail else None)


class End:
    """A namespace with one device, whose packets this process has."""

    def __init__(self, namespace, address):
        self.namespace = namespace
        ip("netns", "add", namespace)
        self.device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        request = struct.pack("16sH22x", namespace[:15].encode(), IFF_TUN_WITHOUT_HEADER)
        fcntl.ioctl(self.device, TUNSETIFF, request)
        ip("link", "set", namespace, "netns", namespace)
        ip("-n", namespace, "address", "add", address, "dev", namespace)
        ip("-n", namespace, "link", "set", namespace, "mtu", str(MTU), "txqueuelen", "5000", "up")
        ip("-n", namespace, "link", "set", "lo", "up")

    def remove(self):
        os.close(self.device)
        ip("netns", "delete", self.namespace, may_fail=True)


class Direction:
    """Packets on their way: first through a queue that a rate empties, then through the delay."""

    def __init__(self, settings, out):
        self.out = out
        self.free_at = 0.0
        self.flying = collections.deque()  # in the order in which they arrive
        self.set(settings)

    def set(self, settings):
        self.delay = settings.delay / 1e3
        self.loss = settings.loss
        self.bytes_a_second = settings.rate * 1e6 / 8
        self.most_queued = settings.queue * 1024

    def take(self, packet, now):
        if self.loss and random.random() < self.loss:
            return
        if self.bytes_a_second:
            starts = max(now, self.free_at)
            if (starts - now) * self.bytes_a_second + len(packet) > self.most_queued:
                return
            self.free_at = starts + len(packet) / self.bytes_a_second
            now = self.free_at
        # A delay that has become shorter lets nobody overtake.
        last = self.flying[-1][0] if self.flying else 0.0
        self.flying.append((max(now + self.delay, last), packet))

    def deliver(self, now):
        while self.flying and self.flying[0][0] <= now:
            _, packet = self.flying.popleft()
            try:
                os.write(self.out, packet)
            except OSError:
                pass  # the device is down or full: lost, as on a wire

    def next(self):
        return self.flying[0][0] if self.flying else None


def carry(ends, settings):
    one, other = ends
    ways = {one.device: Direction(settings, other.device), other.device: Direction(settings, one.device)}
    while True:
        times = [at for at in (way.next() for way in ways.values()) if at is not None]
        wait = max(0.0, min(times) - time.monotonic()) if times else None
        readable, _, _ = select.select([*ways, sys.stdin], [], [], wait)
        if sys.stdin in readable:
            line = sys.stdin.buffer.raw.readline()
            if not line:
                return
            words = line.decode().split()
            for name, value in zip(words[::2], words[1::2]):
                setattr(settings, name, float(value))
            for way in ways.values():
                way.set(settings)
        for device in ways.keys() & readable:
            for _ in range(64):
                try:
                    packet = os.read(device, MTU + 100)
                except BlockingIOError:
                    break
                ways[device].take(packet, time.monotonic())
        for way in ways.values():
            way.deliver(time.monotonic())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs=2, help="the namespaces; the first is 10.99.0.1, the other .2")
    parser.add_argument("--delay", type=float, default=0, help="one way, ms")
    parser.add_argument("--loss", type=float, default=0, help="0 to 1")
    parser.add_argument("--rate", type=float, default=0, help="Mbit/s; 0: without limit")
    parser.add_argument("--queue", type=float, default=256, help="KiB that wait for the rate at most")
    settings = parser.parse_args()
    ends = []
    try:
        for n, name in enumerate(settings.names, 1):
            ends.append(End(name, f"10.99.0.{n}/24"))
        print("ready", flush=True)
        carry(ends, settings)
    finally:
        for end in ends:
            end.remove()


if __name__ == "__main__":
    main()
