"""An SMSC in a thread of the test's own: it takes texts over SMPP, counts them as they come off the wire, and can die.

with Smsc() as smsc:
    smsc.taken          # how often each text came, by whom it was for
    smsc.die()          # from one moment to the next: connections are cut, nothing is answered any more
"""

import contextlib
import socket
import struct
import threading
from collections import Counter
from typing import Self

from columba.smpp.codec import decode, encode
from columba.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    DeliverSm,
    EnquireLink,
    EnquireLinkResp,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)


class Smsc:
    def __init__(self, state: str = "DELIVRD", slow_s: float = 0.0) -> None:
        self.taken: Counter[str] = Counter()
        self.state = state
        self._slow = slow_s
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._dead = threading.Event()
        self._run(self._accept)

    def _run(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._open.add(connection)
                self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), connection:
            file = connection.makefile("rb")
            while not self._dead.is_set():
                head = file.read(4)
                if len(head) < 4:
                    return
                pdu, sequence = decode(head + file.read(struct.unpack(">I", head)[0] - 4))
                answers: list[tuple[Pdu, int]] = []
                match pdu:
                    case BindTransceiver():
                        answers = [(BindTransceiverResp(system_id="smsc"), sequence)]
                    case EnquireLink():
                        answers = [(EnquireLinkResp(), sequence)]
                    case Unbind():
                        answers = [(UnbindResp(), sequence)]
                    case SubmitSm():
                        with self._lock:
                            self.taken[pdu.destination_addr] += 1
                            an_id = f"{self.taken.total():010}"
                        answers = [(SubmitSmResp(message_id=an_id), sequence), (self._receipt(pdu, an_id), sequence)]
                        if self._slow and self._dead.wait(self._slow):
                            return
                connection.sendall(b"".join(encode(each, number) for each, number in answers))

    def _receipt(self, pdu: SubmitSm, an_id: str) -> DeliverSm:
        done = "submit date:2611201015 done date:2611201016"
        text = f"id:{an_id} sub:001 dlvrd:001 {done} stat:{self.state} err:000 text:"
        return DeliverSm(
            source_addr=pdu.destination_addr, source_addr_ton=1, source_addr_npi=1, destination_addr=pdu.source_addr,
            esm_class=4, short_message=text.encode(),
        )  # fmt: skip

    def die(self) -> None:
        self._dead.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        for thread in self._threads:
            thread.join()
