"""Responses: what they are made of, and the chore that runs those in the background."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from fastapi import FastAPI

from ali.app.chores import stop
from ali.app.outbound import mcp_allow_list, mcp_sessions
from ali.features.chat.gateway import Gateway
from ali.features.files.store import FileStore
from ali.features.responses.background import Background
from ali.features.responses.file_search.stores import VectorStores
from ali.features.responses.followers import Followers
from ali.features.responses.order import Engine
from ali.features.responses.sealing import Seals
from ali.features.responses.socket.sockets import Sockets
from ali.features.responses.state import ResponseState
from ali.kernel.settings import Settings

_AT_ONCE: Final = 100
"""Responses in the background that one process runs side by side; further ones wait."""


def assemble_responses(
    api: FastAPI,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    gateway: Gateway,
    state: ResponseState,
    files: FileStore,
    vector_stores: VectorStores,
    hmac_secret: bytes,
) -> None:
    """Build the engine of responses, and start what runs in the background where `ALI_BACKGROUND` says that it does."""
    engine = Engine(
        gateway=gateway,
        state=state,
        files=files,
        vector_stores=vector_stores,
        seals=Seals(hmac_secret),
        allow_list=mcp_allow_list(settings),
        mcp_sessions=mcp_sessions(settings),
        max_turns=settings.response_max_turns,
        max_searches=settings.response_max_searches,
        max_run_s=settings.response_max_s,
        max_history_bytes=settings.max_body_bytes,
    )
    here = settings.background == "here"
    # Where a worker runs them, this process still ends what others left, and gives back what can run again.
    background = Background(engine, Followers(state), runs_here=here, most_at_once=_AT_ONCE if here else 0)
    api.state.engine, api.state.background = engine, background
    api.state.sockets = Sockets(
        engine,
        most=settings.socket_max_connections,
        most_of_one_caller=settings.socket_max_connections_per_caller,
        memory_bytes=settings.socket_memory_bytes,
    )
    late = asyncio.create_task(engine.state.late.run())
    # The last is done first: nothing more is taken, what runs ends, and what could not be written is tried once more.
    stack.push_async_callback(engine.state.late.drain, deadline_s=5)
    stack.push_async_callback(stop, [late])
    stack.push_async_callback(background.drain)
    stack.push_async_callback(api.state.sockets.drain)
    stack.push_async_callback(stop, [asyncio.create_task(background.run())])
