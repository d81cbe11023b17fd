"""Python runs this at its start when the folder is on PYTHONPATH: no connection leaves the machine.

Jupyter kernels talk over loopback and local sockets; those stay open.
"""

import socket

LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


def _refuse_outside(address: object) -> None:
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if isinstance(address, tuple) and host and not str(host).startswith(LOCAL):
        raise OSError(f"the tests run without a network; something tried to reach {host}")


class OfflineSocket(socket.socket):
    """A socket that connects only to this machine."""

    def connect(self, address):
        _refuse_outside(address)
        return super().connect(address)

    def connect_ex(self, address):
        _refuse_outside(address)
        return super().connect_ex(address)

    def sendto(self, data, *arguments):
        _refuse_outside(arguments[-1])
        return super().sendto(data, *arguments)


_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, *arguments, **named):
    """Names of other machines are not looked up either."""
    _refuse_outside((host,))
    return _getaddrinfo(host, *arguments, **named)


socket.socket = OfflineSocket
socket.getaddrinfo = getaddrinfo
