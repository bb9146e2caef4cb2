"""Messages published to an MQTT broker (extra ``mqtt``)."""

from __future__ import annotations

import json
import time
from urllib.parse import unquote, urlsplit

from mmcl.errors import InputError
from mmcl.live.outputs._base import Message, Output

MAX_WAITING = 1000
QUEUE_FULL = 15  # paho's MQTT_ERR_QUEUE_SIZE
CLOSE_S = 5.0


class Mqtt(Output):
    """Publishes to TOPIC/snippet, TOPIC/event and TOPIC/gap; a broker that is gone is connected to again, and up to a
    thousand messages wait for it.

    Args:
        address: ``mqtt://USER:PASSWORD@HOST:PORT/TOPIC``, ``mqtts://`` with TLS.

    Raises:
        InputError: It is no such address, or the extra is not installed.
    """

    def __init__(self, address: str):
        parts = urlsplit(address)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or not parts.path.strip("/"):
            raise InputError(
                "--mqtt: expected mqtt://HOST/TOPIC (or mqtts://), with USER:PASSWORD@ and :PORT if needed"
            )
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise InputError("--mqtt: needs paho-mqtt; pip install 'mmcl[mqtt]'") from None
        self.topic, self.n_lost = parts.path.strip("/"), 0
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.max_queued_messages_set(MAX_WAITING)
        self.client.reconnect_delay_set(1, 30)
        self._waiting: set[int] = set()  # numbers of messages that the broker has not confirmed
        self.client.on_publish = self._confirm
        if parts.username:
            self.client.username_pw_set(unquote(parts.username), unquote(parts.password or "") or None)
        if parts.scheme == "mqtts":
            self.client.tls_set()
        self.client.connect_async(parts.hostname, parts.port or (8883 if parts.scheme == "mqtts" else 1883))
        self.client.loop_start()

    def send(self, message: Message) -> None:
        """See ``Output.send``."""
        kind = message["type"]
        info = self.client.publish(
            f"{self.topic}/{kind}", json.dumps(message, allow_nan=False), qos=0 if kind == "snippet" else 1
        )
        if info.rc == QUEUE_FULL or (info.rc != 0 and kind == "snippet"):  # snippets do not wait for a broker
            self.n_lost += 1
        elif kind != "snippet":
            self._waiting.add(info.mid)

    def _confirm(self, client: object, userdata: object, mid: int, *_: object) -> None:
        """The broker has a message."""
        self._waiting.discard(mid)

    def close(self) -> None:
        """See ``Output.close``."""
        until = time.monotonic() + CLOSE_S
        while self._waiting and time.monotonic() < until:
            time.sleep(0.05)
        self.n_lost += len(self._waiting)
        self.client.disconnect()
        self.client.loop_stop()

    def describe(self) -> str:
        """See ``Output.describe``."""
        return f"mqtt: {self.n_lost} messages did not reach the broker" if self.n_lost else ""
