import select
from collections.abc import Sequence
from typing import Any

from herd.area import Area
from herd.families import Family
from herd.traffic.manners import Manners
from herd.traffic.requests import Request

class Client:
    area: Area
    epoll: select.epoll
    started: int
    established: int
    finished: int
    failed: int
    failed_in_a_row: int

    def __init__(
        self,
        target: Any,
        sources: Sequence[str],
        area: Area,
        request: Request | None = None,
        family: Family = ...,
        manners: Manners = ...,
        *,
        writes_ports: bool = True,
    ) -> None: ...
    @property
    def open_now(self) -> int: ...
    @property
    def unfinished(self) -> int: ...
    def start(self, intended: int) -> None: ...
    def poll(self, seconds: float = 0) -> None: ...
    def next_wake(self) -> int | None: ...
    def close_after_answer(self) -> None: ...
    def give_up(self, error: int, before: int | None = None) -> None: ...
