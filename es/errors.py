"""The exception tree of the kernel. Refusals to clients are values, never exceptions (see es.machine)."""


class EsError(Exception):
    """Anything the kernel raises on purpose. `code` is stable: programs may match on it."""

    code = "ES_ERROR"


class RemoteProtocolError(EsError):
    """A peer sent bytes that do not follow the protocol. Counted and dropped; never stops a node."""

    code = "REMOTE_PROTOCOL"


class LogError(EsError):
    """The durable log cannot do what was asked of it."""

    code = "LOG_ERROR"


class LogDamaged(LogError):
    """Stored bytes contradict their hashes. The node must not serve them (exit status 4)."""

    code = "LOG_DAMAGED"


class LogContradicted(LogError):
    """The log lacks or contradicts what its own node had signed as committed: it was rolled back, cut or altered.
    The node must not serve it (exit status 4)."""

    code = "LOG_CONTRADICTED"


class LogWriteFailed(LogError):
    """The disk refused a write or a flush (full, read-only, I/O error). The process must end: what
    the engine did to its files is unknown until they are opened again."""

    code = "LOG_WRITE_FAILED"


class LogInUse(LogError):
    """Another process holds this data directory."""

    code = "LOG_IN_USE"


class WrongCluster(LogError):
    """The data directory belongs to another cluster or another node."""

    code = "WRONG_CLUSTER"


class LogMissing(LogError):
    """There is no log in this directory."""

    code = "LOG_MISSING"


class Halted(EsError):
    """A data node or the witness must not go on; the sentence says why (exit status 4)."""

    code = "HALTED"
