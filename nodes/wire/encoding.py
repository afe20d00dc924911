"""Bytes to plain maps and back: the two encodings of one message, and the limits that hold before any field is read.

A payload is one map or an array of maps, in msgpack or in JSON; its first byte tells which. Nothing
here trusts a length: sizes, numbers of nodes and of messages are bounded before memory is spent, and
a key that occurs twice makes its map a `RepeatedKeys`, which no check of a field accepts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgpack

from es.errors import RemoteProtocolError
from es.unpacking import check_whole

SINGLE_BYTES_MAX = 64 << 10
"""Encoded size of a message that travels alone."""

ARRAY_BYTES_MAX = 1 << 20
"""Encoded size of an array of messages."""

ARRAY_MESSAGES_MAX = 1_000
"""Messages in one array."""

SINGLE_NODES_MAX = 4_096
"""Values in one message, counted together with the containers that hold them."""

ARRAY_NODES_MAX = 32_768
"""Values in an array of requests: one parse builds them all. An ordinary one has a dozen in each of 1 000 messages."""

ANSWERS_NODES_MAX = 1 << 20
"""Values in an array of answers, each of which may name every room: as many as there can be bytes."""

DEPTH_MAX = 4
"""Containers within each other, the message's own map included."""

TEXT_CHARS_MAX = 200
"""Characters in any string."""

_UNCOUNTED_BYTES_MAX = 2 << 10
"""A message this short cannot grow to much: its nodes are not counted one by one."""

_SALVAGE_KEYS_MAX = 256
_SALVAGE_DEPTH_MAX = 8
_SALVAGE_BYTES_MAX = 2 * SINGLE_BYTES_MAX
"""How far the transaction id of a broken message is looked for: every such message costs the loop that reads it."""


class Encoding(StrEnum):
    """How a message is written."""

    MSGPACK = "msgpack"
    JSON = "json"


class Unreadable(RemoteProtocolError):
    """A payload that breaks a limit of its structure, or follows neither encoding.

    `why` is the label it is counted under. `transaction_id` is set if it could be read all the same,
    so that an answer is possible.
    """

    def __init__(self, why: str, sentence: str, transaction_id: str | None = None) -> None:
        super().__init__(sentence)
        self.why = why
        self.transaction_id = transaction_id


UNREADABLE_WHYS = ("too_long", "too_many_messages", "too_many_nodes", "not_encoded")
"""Every `why` of an Unreadable."""


class RepeatedKeys(dict[Any, Any]):
    """A map in which some key occurred twice. Kept only so that its message can be answered."""


class Parsed(NamedTuple):
    """What one payload holds. `items` are maps if its sender kept to the protocol, anything if not."""

    items: list[Any]
    encoding: Encoding
    is_array: bool


def encoding_of(payload: bytes) -> Encoding:
    """The encoding that the first byte tells; msgpack for an empty payload."""
    return Encoding.JSON if payload[:1] in (b"{", b"[") else Encoding.MSGPACK


def parse(payload: bytes, array_nodes_max: int = ARRAY_NODES_MAX) -> Parsed:
    """Decode a payload within its limits. Raises Unreadable and nothing else."""
    first = payload[:1]
    try:
        if first == b"{":
            check_size(payload, SINGLE_BYTES_MAX)
            return Parsed([_parse_json(payload, SINGLE_NODES_MAX)], Encoding.JSON, is_array=False)
        if first == b"[":
            return Parsed(_parse_json_array(payload, array_nodes_max), Encoding.JSON, is_array=True)
        if _is_msgpack_array(first):
            return Parsed(_parse_msgpack_array(payload, array_nodes_max), Encoding.MSGPACK, is_array=True)
        check_size(payload, SINGLE_BYTES_MAX)
        check_whole(payload)
        return Parsed([_parse_msgpack(payload)], Encoding.MSGPACK, is_array=False)
    except Unreadable as error:
        error.transaction_id = salvaged_transaction_id(payload)
        raise
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Unreadable("not_encoded", f"not an encoded message: {error}", salvaged_transaction_id(payload)) from None


def check_size(payload: bytes, bytes_max: int) -> None:
    """Raises Unreadable if it is longer."""
    if len(payload) > bytes_max:
        raise Unreadable("too_long", f"{len(payload)} bytes exceed the bound of {bytes_max}")


def _checked_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else RepeatedKeys(fields)


# --- msgpack


def _is_msgpack_array(first: bytes) -> bool:
    return b"\x90" <= first <= b"\x9f" or first == b"\xdc" or first == b"\xdd"


class _NodeCount:
    """Hooks that count what is built of one payload, at most so many in all and SINGLE_NODES_MAX in each message."""

    __slots__ = ("_all_left", "_left")

    def __init__(self, nodes_max: int) -> None:
        self._all_left = nodes_max
        self._left = min(nodes_max, SINGLE_NODES_MAX)

    def unpack(self, data: bytes) -> Any:
        """The next message."""
        before = self._left = min(self._all_left, SINGLE_NODES_MAX)
        message = msgpack.unpackb(data, object_pairs_hook=self._map, list_hook=self._list)
        self._all_left -= before - self._left
        return message

    def _count(self, size: int) -> None:
        self._left -= size + 1
        if self._left < 0:
            raise Unreadable("too_many_nodes", "too many values in one payload")

    def _map(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        self._count(len(pairs))
        return _checked_map(pairs)

    def _list(self, values: list[Any]) -> list[Any]:
        self._count(len(values))
        return values


def _parse_msgpack(data: bytes) -> Any:
    if len(data) <= _UNCOUNTED_BYTES_MAX:
        return msgpack.unpackb(data, object_pairs_hook=_checked_map)
    return _NodeCount(SINGLE_NODES_MAX).unpack(data)


def _parse_msgpack_array(payload: bytes, nodes_max: int) -> list[Any]:
    """Cut the array into its messages without decoding them, then decode each on its own."""
    check_size(payload, ARRAY_BYTES_MAX)
    unpacker = msgpack.Unpacker(max_buffer_size=len(payload))
    unpacker.feed(payload)
    messages = unpacker.read_array_header()
    _check_messages(messages)
    items = []
    start = unpacker.tell()
    nodes = _NodeCount(nodes_max)
    for _ in range(messages):
        unpacker.skip()
        end = unpacker.tell()
        items.append(nodes.unpack(payload[start:end]))
        start = end
    if start != len(payload):
        raise ValueError("bytes follow the array")
    return items


def _check_messages(messages: int) -> None:
    if messages > ARRAY_MESSAGES_MAX:
        raise Unreadable("too_many_messages", f"{messages} messages exceed the bound of {ARRAY_MESSAGES_MAX}")


# --- JSON


def _parse_json_array(payload: bytes, nodes_max: int) -> list[Any]:
    check_size(payload, ARRAY_BYTES_MAX)
    items: list[Any] = _parse_json(payload, nodes_max)
    _check_messages(len(items))
    return items


def _parse_json(payload: bytes, nodes_max: int) -> Any:
    # Every value but the first of its container follows a comma, every container has its bracket.
    nodes = payload.count(b",") + payload.count(b"[") + payload.count(b"{")
    if nodes > nodes_max:
        raise Unreadable("too_many_nodes", f"more than {nodes_max} values in one payload")
    text = payload.decode()
    # Only an escape can bring in half of a surrogate pair, which no other encoding could carry on.
    return (_decode_escaped_json if "\\u" in text else _decode_json)(text)


def _checked_text_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return _checked_map([(_encodable(key), _encodable(value)) for key, value in pairs])


def _encodable(value: Any) -> Any:
    """The value with None for every text in it that nobody could write again; maps in it have seen to their own. A text
    that is too long stays: it is refused as that, also in a field that means nothing."""
    if type(value) is list:
        return [_encodable(one) for one in value]
    return value if _is_encodable(value) or len(value) > TEXT_CHARS_MAX else None


def _is_encodable(value: Any) -> bool:
    if type(value) is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


_decode_json = json.JSONDecoder(object_pairs_hook=_checked_map, parse_constant=_refuse_constant).decode
_decode_escaped_json = json.JSONDecoder(object_pairs_hook=_checked_text_map, parse_constant=_refuse_constant).decode


# --- the transaction id of what cannot be read otherwise


def _json_transaction_id() -> re.Pattern[bytes]:
    """The first `transaction_id` of the outermost map, whatever stands in nested ones. Nothing in it is given back
    once it has matched: a payload is walked once, whatever is sent."""
    text = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    plain = r'[^\]\[{}"]++'
    nested = rf"[\[{{](?:{plain}|{text})*+[\]}}]"
    for _ in range(_SALVAGE_DEPTH_MAX - 1):
        nested = rf"[\[{{](?:{plain}|{text}|{nested})*+[\]}}]"
    key = r'"transaction_id"[ \t\r\n]{0,8}:[ \t\r\n]{0,8}'
    return re.compile(rf"\{{(?:(?!{key}){text}|{plain}|{nested})*+{key}({text})".encode(), re.DOTALL)


_JSON_TRANSACTION_ID = _json_transaction_id()
_JSON_TEXT_BYTES_MAX = 2 + 12 * TEXT_CHARS_MAX
"""A character takes at most two escapes of six bytes."""


def salvaged_transaction_id(payload: bytes) -> str | None:
    """The transaction id of a lone message that breaks a limit, so that it can be answered; None if
    there is none to be had. Builds nothing but short strings. Never raises."""
    try:
        transaction_id = (_salvage_json if payload[:1] == b"{" else _salvage_msgpack)(payload)
    except (ValueError, msgpack.UnpackException):
        return None
    if transaction_id is None or not 0 < len(transaction_id) <= TEXT_CHARS_MAX or not _is_encodable(transaction_id):
        return None
    return transaction_id


def _salvage_json(payload: bytes) -> str | None:
    found = _JSON_TRANSACTION_ID.match(payload, 0, _SALVAGE_BYTES_MAX)
    if found is None or len(found[1]) > _JSON_TEXT_BYTES_MAX:
        return None
    transaction_id: str = json.loads(found[1])
    return transaction_id


def _salvage_msgpack(payload: bytes) -> str | None:
    unpacker = msgpack.Unpacker(max_buffer_size=min(max(len(payload), 1), ARRAY_BYTES_MAX))
    unpacker.feed(payload[:ARRAY_BYTES_MAX])
    for _ in range(min(unpacker.read_map_header(), _SALVAGE_KEYS_MAX)):
        key = _short_text(payload, unpacker)
        if key == "transaction_id":
            return _short_text(payload, unpacker)
        unpacker.skip()
    return None


def _short_text(payload: bytes, unpacker: Any) -> str | None:
    """The next value if it is a string of at most 64 KiB; otherwise it is skipped unbuilt."""
    start = unpacker.tell()
    first = payload[start : start + 1]
    is_long = first == b"\xdb" and payload[start + 1 : start + 3] == b"\x00\x00"
    if b"\xa0" <= first <= b"\xbf" or first == b"\xd9" or first == b"\xda" or is_long:
        text: str = unpacker.unpack()
        return text
    unpacker.skip()
    return None


# --- writing

_pack = msgpack.Packer(use_bin_type=True).pack
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_map(fields: dict[str, Any], encoding: Encoding) -> bytes:
    """Encode one message."""
    if encoding is Encoding.MSGPACK:
        data: bytes = _pack(fields)
        return data
    return _to_json(fields).encode()


def join(messages: Sequence[bytes], encoding: Encoding) -> list[bytes]:
    """Put encoded messages, all in `encoding`, into as few payloads as the limits allow, in order.
    A message without company stays what it is."""
    payloads: list[bytes] = []
    group: list[bytes] = []
    group_bytes = 0
    for message in messages:
        # 8 bytes hold any array header; every message after the first costs JSON a comma.
        if group and (len(group) == ARRAY_MESSAGES_MAX or group_bytes + len(message) + 9 > ARRAY_BYTES_MAX):
            payloads.append(whole(group, encoding))
            group, group_bytes = [], 0
        group.append(message)
        group_bytes += len(message) + 1
    if group:
        payloads.append(whole(group, encoding))
    return payloads


def whole(group: Sequence[bytes], encoding: Encoding) -> bytes:
    """Encoded messages as one payload, whatever its size: a REQ peer takes a single answer."""
    if len(group) == 1:
        return group[0]
    if encoding is Encoding.JSON:
        return b"[" + b",".join(group) + b"]"
    header: bytes = msgpack.Packer().pack_array_header(len(group))
    return header + b"".join(group)
