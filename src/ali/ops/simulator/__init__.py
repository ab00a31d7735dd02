"""Simulated providers: a real-socket server that speaks OpenAI's and Anthropic's wire, in health and in every sickness.

For tests (`async with Simulator() as simulator`), for benchmarks (`python -m ali.ops.simulator`) and by hand
(`ali simulate-provider`).
"""

from ali.ops.simulator.answers import Answer, Pace, RedactedThinking, Thinking, ToolCall
from ali.ops.simulator.connection import Counters
from ali.ops.simulator.fault_plans import FaultLimits
from ali.ops.simulator.faults import Applies, Fault
from ali.ops.simulator.provider import Responder
from ali.ops.simulator.received import ReceivedRequest
from ali.ops.simulator.server import Simulator

__all__ = [
    "Answer",
    "Applies",
    "Counters",
    "Fault",
    "FaultLimits",
    "Pace",
    "ReceivedRequest",
    "RedactedThinking",
    "Responder",
    "Simulator",
    "Thinking",
    "ToolCall",
]
