"""Where a load goes, and in whose name: shared by the clients that measure and those that flood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nodes import sockets
from nodes.config.file import load
from nodes.security import principals, roles
from nodes.security.curve import security_of
from nodes.sockets import Context, Security, Socket


@dataclass(slots=True)
class Target:
    """A door of the cluster that `config_file` tells of (its paths are below `root`): of server `name`, or of faculty
    `name` for programs. `own` is the principal that calls, such as `faculty:3` or `program:1/2`."""

    config_file: str
    root: str
    door: str
    name: str
    own: str


class Caller:
    """Makes connections to a target."""

    def __init__(self, target: Target) -> None:
        self.context: Context = sockets.context()
        self.is_program = target.door == roles.PROGRAMS
        config = load(Path(target.config_file), {}, {}, root=Path(target.root))
        own = principals.principal(target.own)
        self.faculty_id, _, program_id = own.name.partition("/")
        self.security: Security = security_of(config, own)
        if self.is_program:
            faculty = config.faculty(int(target.name))
            self.peer, self.endpoint = principals.faculty(faculty.id), faculty.endpoint
            self.program = faculty.programs[int(program_id)]
        else:
            server = config.server(target.name)
            self.peer, self.endpoint = principals.server(server.name), server.requests
            self.program = "Sistemas"

    def lasting(self, messages_max: int = sockets.MESSAGES_MAX) -> Socket:
        """A DEALER that keeps so many messages each way: it takes nothing before its connection stands."""
        return sockets.request_dealer(self.context, self.endpoint, self.peer, self.security, messages_max)

    def fresh(self) -> Socket:
        """A REQ, for one transaction."""
        return sockets.request_req(self.context, self.endpoint, self.peer, self.security)
