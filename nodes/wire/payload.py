"""What comes from a socket before anybody has read it."""

from __future__ import annotations

from typing import Final, TypeAlias

Payload: TypeAlias = bytes | memoryview
"""One frame as it came; a large one is not copied before it is read."""

SMALL_BYTES: Final = 8 << 10
"""Up to so much a payload is small: it is copied rather than kept with all that libzmq received together with it, and
its structure is read in a millisecond, which is what one request costs. A larger one may take a hundred."""
