"""A cloud that accepts everything at once: `python -m tidegate.bench.sink PORT`, a process of its own."""

import asyncio
import sys


async def answer_204(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read one request after another and accept it."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(b"HTTP/1.1 204 No Content\r\nServer: sink\r\n\r\n")
        await writer.drain()
    writer.close()


async def sink(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.start_server(answer_204, "127.0.0.1", port, limit=2**20)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(sink(int(sys.argv[1])))
