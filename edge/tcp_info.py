"""What the kernel counts of one TCP connection: how many data segments went out, and how many of them again.

The layout is Linux's `struct tcp_info` (linux/tcp.h), which only ever grows at its end; `tcpi_data_segs_out` is there
since Linux 4.6. Where there is less, the counts are 0: not known.
"""

import socket
import struct

_U32 = struct.Struct("@I")
_TOTAL_RETRANS_AT = 100
_DATA_SEGS_OUT_AT = 156
_BYTES = 160
_TCP_INFO = getattr(socket, "TCP_INFO", None)


def data_segments(connection: socket.socket) -> tuple[int, int]:
    """Data segments sent since the connection was opened, resent ones among them; (0, 0) if that is not known."""
    if _TCP_INFO is None:
        return 0, 0
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES)
    except OSError:  # closed meanwhile
        return 0, 0
    if len(info) < _BYTES:
        return 0, 0
    (sent,) = _U32.unpack_from(info, _DATA_SEGS_OUT_AT)
    (again,) = _U32.unpack_from(info, _TOTAL_RETRANS_AT)
    return sent, again
