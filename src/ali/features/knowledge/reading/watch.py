"""How long a step of reading may take. Who takes longer is ended by the kernel, whatever code it is in.

Steps are measured in processor time of this process, so that a busy machine fails nobody's document.
"""

import signal
from dataclasses import dataclass

_LEAST_S = 1.5
_BYTES_A_SECOND = 1_000_000


@dataclass(slots=True)
class Watch:
    """The limits of one document. `step` begins a step, and with it ends the one before."""

    def step(self, seconds: float) -> None:
        """The next step may take `seconds` of processor time; SIGPROF ends the process after that."""
        signal.setitimer(signal.ITIMER_PROF, seconds)

    def pause(self) -> None:
        """No step is under way."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    @staticmethod
    def by_size_s(size_bytes: int) -> float:
        """What a step may take that reads `size_bytes`: a second and a half, and one more for each megabyte."""
        return _LEAST_S + size_bytes / _BYTES_A_SECOND
