"""What the bench's network rows send and count: programs for either side of a connection, and a host next door to call from.

The programs are Python on both sides and for every engine, so that what differs is the way between them.
"""

import re
import subprocess

# Accepts and closes, as often as it is called.
SERVER = """
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", 80)); s.listen(1024)
while True:
    s.accept()[0].close()
"""

# Connects, waits until the other side has closed, resets: no port stays in TIME_WAIT. Prints connections per second.
CLIENT = """
import socket, struct, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
started = time.perf_counter()
for _ in range(count):
    c = socket.create_connection((address, port), 5)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if c.recv(1):
        sys.exit("an answer nobody gave")
    c.close()
print("rate", count / (time.perf_counter() - started))
"""

# Asks the name server of the container's resolv.conf for one name, so many questions under way at a time. Prints answers per second;
# one without an address, or none within two seconds, is an error.
ASKER = """
import re, socket, struct, sys, time
name, count, window = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
server = re.search(r"^nameserver (\\S+)", open("/etc/resolv.conf").read(), re.M).group(1)
labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((server, 53)); s.settimeout(2)
def ask(n):
    s.send(struct.pack(">6H", n & 0xffff, 0x100, 1, 0, 0, 0) + labels + b"\\0\\1\\0\\1")
started = time.perf_counter()
for n in range(window):
    ask(n)
for n in range(window, count + window):
    answer = s.recv(512)
    if answer[3] & 15 or not struct.unpack(">H", answer[6:8])[0]:
        sys.exit("no address in the answer")
    if n < count:
        ask(n)
print("rate", count / (time.perf_counter() - started))
"""

NEIGHBOUR, HERE, THERE = "bench-neighbour", "10.213.77.1", "10.213.77.2"


def found(text):
    """The rate that a program has printed."""
    return float(re.search(r"rate ([0-9.]+)", text).group(1))


def rate(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError("%s: exit %d\n%s%s" % (argv[0], done.returncode, done.stdout, done.stderr))
    return found(done.stdout)


def neighbour(tool):
    """A host beside this one, from which published ports are called as from outside; it goes with the bench's namespaces."""
    if NEIGHBOUR in tool("ip", "netns", "list"):
        return
    tool("ip", "netns", "add", NEIGHBOUR)
    tool("ip", "link", "add", "neighbour", "type", "veth", "peer", "name", "eth0", "netns", NEIGHBOUR)
    tool("ip", "addr", "add", HERE + "/24", "dev", "neighbour")
    tool("ip", "link", "set", "neighbour", "up")
    inside = ("ip", "-n", NEIGHBOUR)
    tool(*inside, "addr", "add", THERE + "/24", "dev", "eth0")
    tool(*inside, "link", "set", "eth0", "up")


CALL = ("python3", "-c", CLIENT)


def from_outside(port, count):
    """Connections per second to a published port, from the neighbour."""
    return rate("ip", "netns", "exec", NEIGHBOUR, *CALL, HERE, str(port), str(count))


def from_inside(port, count):
    """The same from this host's loopback."""
    return rate(*CALL, "127.0.0.1", str(port), str(count))
