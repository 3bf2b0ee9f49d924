"""Resource types of one's own: a class with a method for each request."""

from __future__ import annotations

import threading
import traceback
from typing import Callable

from ._quorate import Desk
from .items import Request

Step = Callable[[Request], None]
"""One step of a resource. What it raises says why it failed."""


class Resource:
    """A resource that the host runs, for `Node.serve`: inherit from it, and write its steps.

    Steps come one at a time on a thread of their own, and may block for `request.timeout` seconds.
    A step that returns has succeeded; one that raises has failed, for the reason that it gives.
    Only `kill` may come, on another thread, while a step is under way, which it should cut short;
    it then comes again when that step has ended.
    """

    def start(self, request: Request) -> None:
        """Starts it afresh. If it raises, nothing of it may run."""
        raise NotImplementedError(f"{request.resource} has no start")

    def stop(self, request: Request) -> None:
        """Stops it in order within `request.timeout`. If it raises, it is killed."""
        self.kill(request)

    def kill(self, request: Request) -> None:
        """Ends it now. Returns when nothing of it runs, also when nothing did.

        If it raises, something may still run: no other node may take the group over.
        """
        raise NotImplementedError(f"{request.resource} has no kill")

    def save(self, request: Request) -> None:
        """Halts it, writes its state to the file `request.state`, and ends it here.

        For `save_on_move` only. If it raises, it is killed, and started afresh at its new place.
        """
        raise NotImplementedError(f"{request.resource} cannot be saved")

    def load(self, request: Request) -> None:
        """Loads what `save` wrote from the file `request.state`, and lets it not run yet."""
        raise NotImplementedError(f"{request.resource} cannot be loaded")

    def run(self, request: Request) -> None:
        """Lets what was loaded run."""
        raise NotImplementedError(f"{request.resource} cannot be loaded")


class Server:
    """The threads that carry out the requests for one resource. They end with their node.

    The node itself sees to it that a kill holds: it comes again when the step under way is over,
    and no step that was asked for before it begins after it.
    """

    def __init__(self, name: str, resource: Resource, kills: Desk, orders: Desk) -> None:
        self._steps: dict[str, Step] = {
            "start": resource.start,
            "load": resource.load,
            "run": resource.run,
            "save": resource.save,
            "stop": resource.stop,
            "kill": resource.kill,
        }
        self._threads = [
            self._thread(f"kill-{name}", kills),
            self._thread(f"serve-{name}", orders),
        ]

    def join(self, timeout: float) -> None:
        """Waits until the requests are done, the last kill too."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout)

    def _thread(self, name: str, desk: Desk) -> threading.Thread:
        thread = threading.Thread(target=self._serve, args=(desk,), name=name, daemon=True)
        thread.start()
        return thread

    def _serve(self, desk: Desk) -> None:
        while (work := desk.take()) is not None:
            try:
                self._steps[work.request.verb](work.request)
            except BaseException as error:  # Whatever a step does, the next one is served.
                work.complete("".join(traceback.format_exception_only(type(error), error)).strip())
            else:
                work.complete()
