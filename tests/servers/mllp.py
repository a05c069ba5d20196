"""An MLLP receiver on a free port; `hl7`, which had no part in making messages, reads them."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import hl7

START, END = b"\x0b", b"\x1c\r"

Answer = Callable[[hl7.Message], bytes]
"""What goes back, frame and all; b"": nothing."""


def acknowledge(code: str = "AA", condition: str = "", control_id: str = "") -> Answer:
    """An acknowledgement; `control_id` "": of the message that it answers."""

    def answer(message: hl7.Message) -> bytes:
        msa = f"MSA|{code}|{control_id or message.segment('MSH')[10]}|Canary quoted here"
        err = f"\rERR||PID^1^5|{condition}^Canary quoted^HL70357|E" if condition else ""
        text = f"MSH|^~\\&|RIS||||20260304||ACK^R01^ACK|1|P|2.5.1\r{msa}{err}\r"
        return START + text.encode() + END

    return answer


@dataclass
class MllpReceiver:
    """Answers each message as `answer` says; `after`: called with the connection afterwards."""

    answer: Answer = field(default_factory=acknowledge)
    delay_s: float = 0.0
    close_after_message: bool = False
    drip_s: float = 0.0
    """Seconds between two bytes of an answer."""
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        self.messages: list[hl7.Message] = []
        self.raw: list[bytes] = []
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []

    def __enter__(self) -> "MllpReceiver":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
                if self.tls is not None:
                    connection = self.tls.wrap_socket(connection, server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
                while END in received:
                    frame, _, received = received.partition(END)
                    self._take(connection, frame)
        except OSError:
            return

    def _take(self, connection: socket.socket, frame: bytes) -> None:
        assert frame[:1] == START
        self.raw.append(frame[1:])
        self.messages.append(hl7.parse(frame[1:].decode("utf-8")))
        if self.close_after_message:
            connection.close()
            return
        time.sleep(self.delay_s)
        told = self.answer(self.messages[-1])
        for byte in (told[n : n + 1] for n in range(len(told))) if self.drip_s else (told,):
            connection.sendall(byte)
            time.sleep(self.drip_s)
