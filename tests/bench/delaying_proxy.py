"""A TCP proxy that makes a server of this machine as far away as one in another region.

Each piece of data waits in a queue until it is due, half a round trip after it came, so the delay
does not limit the throughput. The first piece of a connection waits for its set-up, too: the kernel
of this machine connects at once, and a far server does not.

As options, it limits the bandwidth of each direction, all connections together, refuses downloads
above so many at once as Supabase does, and writes down when each request was on its way. A program
of its own, so that its processor time is nobody else's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from process_control.parent_death import die_with_parent

HOST = "127.0.0.1"
DOWNLOADS = b"/storage/v1/object/authenticated/"
MOST_WAITING_BYTES = 16 * 1024 * 1024
"""A direction of a connection that holds more is not read from until it holds less."""
REFUSALS = itertools.cycle(
    [
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n",
        b"HTTP/1.1 544 Database Timeout\r\n",
    ]
)


class Distance(msgspec.Struct, frozen=True, kw_only=True):
    """How far away the server is, and what it takes.

    Attributes:
        rtt_seconds: a round trip.
        tls_round_trips: those of TLS when a connection is set up, after the one of TCP.
        bytes_per_second: of each direction; None for any number.
        most_downloads: further ones at once are refused; None for any number.
        log: a file that gets a `Passed` as a line of JSON for each request; None for none.
    """

    rtt_seconds: float = 0.0
    tls_round_trips: int = 1
    bytes_per_second: float | None = None
    most_downloads: int | None = None
    log: str | None = None

    @property
    def set_up_seconds(self) -> float:
        """From the first packet of a connection to the first that carries a request."""
        return (1 + self.tls_round_trips) * self.rtt_seconds


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A request that went through the proxy, as its client saw it.

    Attributes:
        method: of HTTP.
        path: without the query.
        status: of the answer.
        began: when the request left the client, on a monotonic clock.
        ended: when the last byte of the answer was back, on the same clock.
    """

    method: str
    path: str
    status: int
    began: float
    ended: float

    @property
    def is_download(self) -> bool:
        return self.path.encode().startswith(DOWNLOADS)


class Cable:
    """One direction of all connections: says when what is sent now is at its other end."""

    def __init__(self, distance: Distance) -> None:
        self._latency = distance.rtt_seconds / 2
        self._bytes_per_second = distance.bytes_per_second
        self._free_at = 0.0

    def due(self, now: float, count: int) -> float:
        """When the last of `count` bytes arrives."""
        if self._bytes_per_second is None:
            return now + self._latency
        self._free_at = max(self._free_at, now) + count / self._bytes_per_second
        return self._free_at + self._latency


class Pipe:
    """What is under way in one direction of one connection, in order."""

    def __init__(
        self, cable: Cable, source: asyncio.Transport, deliver: Callable[[bytes | None], None]
    ) -> None:
        """`deliver` takes each piece when it is due, and None for the end."""
        self._cable = cable
        self._source = source
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[tuple[float, bytes | None]] = deque()
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def send(self, piece: bytes | None, *, not_before: float = 0.0) -> None:
        """Have a piece, or the end, arrive in its time."""
        size = len(piece or b"")
        due = self._cable.due(max(self._loop.time(), not_before), size)
        self._under_way.append((due, piece))
        self._waiting_bytes += size
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self._source.pause_reading()
        if self._timer is None:
            self._arm()

    def close(self) -> None:
        """Drop what is under way."""
        self._under_way.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._under_way[0][0], self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        now = self._loop.time()
        was_full = self._waiting_bytes > MOST_WAITING_BYTES
        while self._under_way and self._under_way[0][0] <= now:
            _, piece = self._under_way.popleft()
            self._waiting_bytes -= len(piece or b"")
            self._deliver(piece)
        if was_full and self._waiting_bytes <= MOST_WAITING_BYTES:
            self._source.resume_reading()
        if self._under_way:
            self._arm()


class Doorman:
    """Counts the downloads under way, the way included, and says which are too many."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.at_once = 0
        self.highest = 0
        self.refused = 0

    def lets_in(self) -> bool:
        """Count one more, unless it is one too many."""
        if self.most is not None and self.at_once >= self.most:
            self.refused += 1
            return False
        self.at_once += 1
        self.highest = max(self.highest, self.at_once)
        return True


class Upstream(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.has_reached_server(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._connection.answered(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._connection.server_has_gone()


class Exchanges:
    """The requests of one connection and their answers, written to a log as they end."""

    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self._clock = asyncio.get_running_loop().time
        self._url = b""
        self._status = 0
        self._requests = httptools.HttpRequestParser(RequestStart(self))
        self._answers = httptools.HttpResponseParser(self)

    def asked(self, data: bytes) -> None:
        """Bytes have left the client."""
        self._requests.feed_data(data)

    def answered(self, data: bytes) -> None:
        """Bytes are back at the client."""
        self._answers.feed_data(data)

    def has_begun(self, url: bytes) -> None:
        """More of the URL of a request is known."""
        if not self._url:
            self._began = self._clock()
        self._url += url

    # Callbacks of the parser of answers.
    def on_headers_complete(self) -> None:
        self._status = self._answers.get_status_code()
        if self._requests.get_method() == b"HEAD":  # has no body, whatever its headers say
            self.on_message_complete()
            self._answers = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        passed = Passed(
            method=self._requests.get_method().decode(),
            path=urlsplit(self._url.decode()).path,
            status=self._status,
            began=self._began,
            ended=self._clock(),
        )
        self._url = b""
        self._log.write(msgspec.json.encode(passed) + b"\n")


class RequestStart:
    """Says what is requested."""

    def __init__(self, exchanges: Exchanges) -> None:
        self.on_url = exchanges.has_begun


class Connection(asyncio.Protocol):
    """The client's end of a connection, and all that is under way on it.

    The requests of a connection follow each other: HTTP/1.1 without pipelining, as all clients of
    ours speak it.
    """

    def __init__(self, target: tuple[str, int], distance: Distance, proxy: Proxy) -> None:
        self._target = target
        self._distance = distance
        self._proxy = proxy
        self._early: list[bytes] = []
        self._server: asyncio.Transport | None = None
        self._answers: Pipe | None = None
        self._connecting: asyncio.Task[object] | None = None
        self._is_download = False
        if proxy.doorman.most is not None:
            self._reset_parsers()
        self._exchanges = Exchanges(proxy.log) if proxy.log else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        loop = asyncio.get_running_loop()
        self._client = cast("asyncio.Transport", transport)
        self._usable_at = loop.time() + self._distance.set_up_seconds
        self._requests = Pipe(self._proxy.there, self._client, self._at_server)
        self._connecting = loop.create_task(
            loop.create_connection(lambda: Upstream(self), *self._target)
        )

    def data_received(self, data: bytes) -> None:
        if self._exchanges is not None:
            self._exchanges.asked(data)
        if self._may_enter(data):
            self._requests.send(data, not_before=self._usable_at)
        else:
            self._refuse()

    def eof_received(self) -> bool:
        self._requests.send(None, not_before=self._usable_at)
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        self._requests.close()
        self._leave()
        if self._server is not None:
            self._server.close()

    def has_reached_server(self, transport: asyncio.Transport) -> None:
        """Send what came before."""
        self._server = transport
        self._answers = Pipe(self._proxy.back, transport, self._at_client)
        if self._client.is_closing():
            transport.close()
        for data in self._early:
            self._at_server(data)
        self._early.clear()

    def answered(self, data: bytes) -> None:
        """Bytes have left the server."""
        self._back(data)

    def server_has_gone(self) -> None:
        """It has closed the connection."""
        self._leave()
        self._back(None)

    # Callbacks of the parsers.
    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        self._is_complete = True

    def _back(self, data: bytes | None) -> None:
        if self._answers is not None:
            self._answers.send(data)

    def _at_server(self, data: bytes | None) -> None:
        if self._server is None:
            self._early.append(data or b"")
        elif data is None:
            self._server.write_eof()
        else:
            self._server.write(data)

    def _at_client(self, data: bytes | None) -> None:
        if data is None:
            self._client.close()
        else:
            self._to_client(data)
            if self._is_download:
                self._answer_parser.feed_data(data)

    def _to_client(self, data: bytes) -> None:
        # It is written down before the client has it, who may end the proxy right then.
        if self._exchanges is not None:
            self._exchanges.answered(data)
        self._client.write(data)

    def _may_enter(self, data: bytes) -> bool:
        """Whether a request goes on to the server. Otherwise it is answered here."""
        doorman = self._proxy.doorman
        if doorman.most is None:
            return True
        self._request_parser.feed_data(data)
        if not self._is_complete:
            return True
        is_download = self._url.startswith(DOWNLOADS)
        self._reset_parsers()
        if is_download and not doorman.lets_in():
            return False
        self._is_download = is_download
        return True

    def _refuse(self) -> None:
        """Answer as Supabase does, after a round trip."""
        body = b'{"statusCode":"429","error":"too_many","message":"too many at once"}'
        head = next(REFUSALS) + b"Content-Type: application/json\r\n"
        answer = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        asyncio.get_running_loop().call_later(self._distance.rtt_seconds, self._to_client, answer)

    def _reset_parsers(self) -> None:
        self._url = b""
        self._is_complete = False
        self._request_parser = httptools.HttpRequestParser(self)
        self._answer_parser = httptools.HttpResponseParser(AnswerEnd(self._leave))

    def _leave(self) -> None:
        """A download has come to its end."""
        if self._is_download:
            self._is_download = False
            self._proxy.doorman.at_once -= 1


class AnswerEnd:
    """Says when an answer is complete."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self.on_message_complete = ended


class Proxy:
    """All connections to one server."""

    def __init__(
        self, target: tuple[str, int], distance: Distance, log: BinaryIO | None = None
    ) -> None:
        self._target = target
        self._distance = distance
        self.log = log
        self.there = Cable(distance)
        self.back = Cable(distance)
        self.doorman = Doorman(distance.most_downloads)

    async def start(self) -> asyncio.Server:
        """Listen on a free port."""
        return await asyncio.get_running_loop().create_server(
            lambda: Connection(self._target, self._distance, self), HOST, 0, backlog=2048
        )


@contextmanager
def delayed(url: str, distance: Distance) -> Iterator[str]:
    """The URL of a server as it is at a distance. A process of its own answers there meanwhile."""
    parts = urlsplit(url)
    command = [
        *(sys.executable, "-m", __name__, f"{parts.hostname}:{parts.port}"),
        msgspec.json.encode(distance).decode(),
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield f"http://{HOST}:{json.loads(child.stdout.readline())['port']}"
    finally:
        child.terminate()
        child.wait()


async def _serve(target: tuple[str, int], distance: Distance, log: BinaryIO | None) -> None:
    server = await Proxy(target, distance, log).start()
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve until this process or its parent is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="HOST:PORT of the server")
    parser.add_argument("distance", help="a `Distance` as JSON")
    options = parser.parse_args()
    die_with_parent(os.getppid())
    host, _, port = options.target.rpartition(":")
    distance = msgspec.json.decode(options.distance, type=Distance)
    with ExitStack() as stack:
        log = distance.log and stack.enter_context(Path(distance.log).open("ab", buffering=0))
        uvloop.run(_serve((host, int(port)), distance, log or None))


if __name__ == "__main__":
    main()
