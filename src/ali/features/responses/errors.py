"""What can be wrong with a response that is asked for, or asked about.

InvalidRequest                      400
├── PreviousResponseNotFound        400  not there, another's, or one of its chain was deleted
├── PreviousResponseUnusable        400  it still runs, or is part of a conversation
├── ContextTooLong                  400  what was said before does not fit the model
├── ToolNotOffered                  400  a hosted tool that the model's provider does not run
├── PromptNotOffered                400  a prompt that is kept at OpenAI, for another's model
├── CompactionUnreadable            400  another's compaction, or one that was changed
├── NothingToCompact                400  nothing was said yet
└── NotCancellable, NotStreamable   400  it was not made in the background, or has ended
NotFound
└── ResponseNotFound                404
StateUnavailable                    503  the database does not answer
└── TakenOver                       503  another process ended the response, because this one seemed dead
"""

from ali.kernel.errors import InvalidRequest, NotFound, Unavailable


class PreviousResponseNotFound(InvalidRequest):
    """400: there is no such response to go on from."""

    code = "previous_response_not_found"


class PreviousResponseUnusable(InvalidRequest):
    """400: the response is there, but nothing can go on from it."""

    code = "previous_response_unusable"


class ContextTooLong(InvalidRequest):
    """400: the context does not fit the model's window."""

    code = "context_length_exceeded"


class ToolNotOffered(InvalidRequest):
    """400: nobody here runs that tool for that model."""

    code = "tool_not_supported"


class PromptNotOffered(InvalidRequest):
    """400: prompts are kept at OpenAI, and known to its models alone."""

    code = "prompt_not_supported"


class CompactionUnreadable(InvalidRequest):
    """400: a compaction item that was not made here for this project, or was changed since."""

    code = "compaction_unreadable"


class NothingToCompact(InvalidRequest):
    """400: nothing was said yet that a summary could tell."""

    code = "nothing_to_compact"


def nothing_to_compact() -> NothingToCompact:
    """The refusal."""
    return NothingToCompact(
        "There is nothing to compact: nothing was said yet. Send the items as input, or go on from the response or "
        "conversation that they belong to.",
        param="input",
    )


class NotCancellable(InvalidRequest):
    """400: only background responses that have not ended can be cancelled."""

    code = "response_not_cancellable"


class NotStreamable(InvalidRequest):
    """400: only background responses keep their events."""

    code = "response_not_streamable"


class ResponseNotFound(NotFound):
    """404: no such response in this project."""

    code = "response_not_found"


class StateUnavailable(Unavailable):
    """503: what was said before cannot be read, or what came out cannot be kept."""

    code = "state_unavailable"


class TakenOver(StateUnavailable):
    """503: what this process has of the response counts no more; another has ended it."""

    code = "response_taken_over"
