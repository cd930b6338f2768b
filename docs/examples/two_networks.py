"""A server thread and a client thread of one process, each in its own network, with a virtual cable between them.

Needs CAP_SYS_ADMIN and `ip` (iproute2).
"""

import socket
import subprocess
import threading

import kthreads
from kthreads import CloneFlags

SERVER, CLIENT, PORT = "10.0.0.1", "10.0.0.2", 7000


def ip(*words: str) -> None:
    """Runs ip(8) in the network of the calling thread, which a child inherits."""
    subprocess.run(["ip", *words], check=True)


def configure(interface: str, address: str) -> None:
    """Sets the address of an interface of this thread's network, and brings it up."""
    ip("address", "add", f"{address}/24", "dev", interface)
    ip("link", "set", interface, "up")


class Networks:
    """The server and the client. Each waits for steps of the other."""

    def __init__(self) -> None:
        self.server_is_there, self.cable_is_there, self.server_listens = (threading.Event() for _ in range(3))
        self.server_tid = 0

    def serve(self) -> str:
        """Answers one message in capital letters. Returns the interfaces of this network."""
        self.server_tid = threading.get_native_id()
        self.server_is_there.set()
        assert self.cable_is_there.wait(10)
        configure("right", SERVER)
        with socket.create_server((SERVER, PORT)) as listener:
            self.server_listens.set()
            listener.settimeout(10)
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())
        return names()

    def ask(self) -> tuple[str, str]:
        """Sends a message. Returns the answer and the interfaces of this network."""
        assert self.server_is_there.wait(10)
        ip("link", "add", "left", "type", "veth", "peer", "name", "right", "netns", str(self.server_tid))
        self.cable_is_there.set()
        configure("left", CLIENT)
        assert self.server_listens.wait(10)
        with socket.create_connection((SERVER, PORT), timeout=10) as connection:
            connection.sendall(b"one process, two networks")
            return connection.recv(100).decode(), names()


def names() -> str:
    """The interfaces of the calling thread's network."""
    return " ".join(sorted(name for _, name in socket.if_nameindex()))


def main() -> None:
    networks = Networks()
    server = kthreads.Thread(target=networks.serve, namespaces=CloneFlags.NEWNET)
    client = kthreads.Thread(target=networks.ask, namespaces=CloneFlags.NEWNET)
    server.start()
    client.start()
    client.join()
    server.join()
    answer, clients = client.result
    print(f"answer: {answer}")
    print(f"the client's interfaces: {clients}")
    print(f"the server's interfaces: {server.result}")
    print(f"cable seen by the process: {'left' in names() or 'right' in names()}")


if __name__ == "__main__":
    main()
