"""Runs programs of examples/firmware: a broker, QEMU, and the link between them. A module of the checks beside it."""

import json
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RAM = 0x2000_0000
RAM_SIZE = 64 * 1024
CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 5, 9, 12, 13, 14


class Failure(Exception):
    """What was expected did not come."""


class Deadline:
    """Until when everything has to be done."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.end = time.monotonic() + seconds

    def left(self, what):
        left = self.end - time.monotonic()
        if left <= 0:
            raise Failure(f"{what}: not within {self.seconds} seconds")
        return left


def stop_children_at_the_end():
    """Lets a SIGTERM run the `finally`s that stop what was started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Broker:
    """A mosquitto on a free port of this machine."""

    def __enter__(self):
        program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
        if not program:
            raise Failure("mosquitto is not installed: .ci/install does that")
        self.directory = tempfile.TemporaryDirectory()
        self.log_path = Path(self.directory.name) / "log"
        for _ in range(5):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.port = probe.getsockname()[1]
            config = Path(self.directory.name) / "conf"
            config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n")
            with self.log_path.open("w") as log:
                self.process = subprocess.Popen([program, "-v", "-c", str(config)], stdout=log, stderr=log)
            if self.listens():
                return self
            # Somebody has taken the port meanwhile.
            self.stop()
        raise Failure(f"mosquitto does not start:\n{self.log()}")

    def listens(self):
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self.process.poll() is None
            except ConnectionRefusedError:
                if self.process.poll() is not None:
                    return False
                time.sleep(0.01)
        return False

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        self.stop()
        self.directory.cleanup()


class Board:
    """QEMU with a program, whose UART is a socket. From an address on its RAM can be painted before the start."""

    PAINT = 0xCC

    def __init__(self, program, port, painted_from=None):
        self.program, self.port, self.painted_from = program, port, painted_from

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        place = Path(self.directory.name)
        self.control = place / "control"
        self.output = place / "output"
        command = ["qemu-system-arm", "-machine", "lm3s6965evb", "-display", "none", "-monitor", "none"]
        command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(self.program)]
        command += ["-chardev", f"socket,id=u,host=127.0.0.1,port={self.port}", "-serial", "chardev:u"]
        if self.painted_from is not None:
            paint = place / "paint"
            paint.write_bytes(bytes([self.PAINT]) * (RAM + RAM_SIZE - self.painted_from))
            command += ["-device", f"loader,file={paint},addr={self.painted_from:#x},force-raw=on"]
        command += ["-qmp", f"unix:{self.control},server=on,wait=off"]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        return self

    def exit_code(self, deadline):
        try:
            return self.process.wait(deadline.left("the end of the program"))
        except subprocess.TimeoutExpired:
            raise Failure("the program does not end") from None

    def said(self):
        return self.output.read_text(errors="replace")

    def ram(self):
        """Stops the board and reads its RAM."""
        path = Path(self.directory.name) / "ram"
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(str(self.control))
            lines = link.makefile("rw")
            lines.readline()
            memory = {"val": RAM, "size": RAM_SIZE, "filename": str(path)}
            for name, arguments in [("qmp_capabilities", {}), ("stop", {}), ("pmemsave", memory)]:
                lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
                lines.flush()
                while "return" not in (answer := json.loads(lines.readline())):
                    if "error" in answer:
                        raise Failure(f"QEMU refuses {name}: {answer['error']['desc']}")
        return path.read_bytes()

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()


def packets_of(buffer):
    """Takes the whole packets from the start of a buffer."""
    packets = []
    while True:
        length, shift, at = 0, 0, 1
        while at < len(buffer) and at < 5:
            length |= (buffer[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not buffer[at - 1] & 0x80:
                break
        else:
            return packets
        if len(buffer) < at + length:
            return packets
        packets.append(bytes(buffer[: at + length]))
        del buffer[: at + length]


def kind(packet):
    return packet[0] >> 4


class Link:
    """Carries packets between the board and the broker, and lets `from_board` and `from_broker` decide which.

    The broker's side is opened by each CONNECT of the board.
    """

    def __init__(self, broker):
        self.broker_port = broker.port
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.board = self.broker = None
        self.received = {"board": bytearray(), "broker": bytearray()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in (self.board, self.broker, self.server):
            if end:
                end.close()

    def from_board(self, packet):
        """What of a packet of the board goes on to the broker."""
        return packet

    def from_broker(self, packet):
        """What of a packet of the broker goes on to the board."""
        return packet

    def open(self):
        """A new connection to the broker."""
        self.cut()
        self.received["broker"].clear()
        self.broker = socket.create_connection(("127.0.0.1", self.broker_port), 5)

    def cut(self):
        """Closes the broker's side; the board is not told."""
        if self.broker:
            self.broker.close()
            self.broker = None

    def run(self, deadline, is_done):
        """Carries packets until `is_done`, or until the board hangs up."""
        if not self.board:
            self.server.settimeout(deadline.left("the board's UART"))
            self.board = self.server.accept()[0]
        while not is_done():
            with selectors.DefaultSelector() as selector:
                for end in filter(None, (self.board, self.broker)):
                    selector.register(end, selectors.EVENT_READ)
                ready = [key.fileobj for key, _ in selector.select(deadline.left("the scenario"))]
            if self.board in ready and not self.take_from_board():
                return
            if self.broker and self.broker in ready:
                self.take_from_broker()

    def take_from_board(self):
        """Whether the board is still there."""
        try:
            data = self.board.recv(4096)
        except ConnectionResetError:
            data = b""
        self.received["board"] += data
        for packet in packets_of(self.received["board"]):
            if kind(packet) == CONNECT:
                self.open()
            passed = self.from_board(packet)
            if self.broker:
                self.broker.sendall(passed)
        return bool(data)

    def take_from_broker(self):
        try:
            data = self.broker.recv(4096)
        except ConnectionResetError:
            data = b""
        if not data:
            self.cut()
        self.received["broker"] += data
        for packet in packets_of(self.received["broker"]):
            self.board.sendall(self.from_broker(packet))


class Observer:
    """A subscriber of its own: what it gets is what the broker has taken."""

    def __init__(self, broker, topic):
        self.socket = socket.create_connection(("127.0.0.1", broker.port), 5)
        self.received = bytearray()
        self.packets = []
        self.socket.sendall(b"\x10\x14\x00\x04MQTT\x04\x02\x00\x00\x00\x08observer")
        name = topic.encode()
        self.socket.sendall(struct.pack(">BBHH", 0x82, len(name) + 5, 1, len(name)) + name + b"\x00")
        self.wait_for(lambda: any(kind(packet) == SUBACK for packet in self.packets))

    def wait_for(self, is_there):
        while not is_there():
            data = self.socket.recv(4096)
            if not data:
                raise Failure("the broker has closed the observer's connection")
            self.received += data
            self.packets += packets_of(self.received)

    def payloads(self):
        """The payloads so far: a ping of the observer's own shows that no more are on their way."""
        count = sum(kind(packet) == PINGRESP for packet in self.packets)
        self.socket.sendall(b"\xc0\x00")
        self.wait_for(lambda: sum(kind(packet) == PINGRESP for packet in self.packets) > count)
        return [payload(packet, v5=False) for packet in self.packets if kind(packet) == PUBLISH]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def payload(publish, v5):
    """The payload of a short PUBLISH without properties."""
    at = 4 + struct.unpack_from(">H", publish, 2)[0]
    at += 2 if publish[0] & 0x06 else 0
    return publish[at + (1 if v5 else 0) :].decode()
