"""Every operation of the service: how it is rightly called, which identifiers it takes and over what it reaches.

A new route gets its entry here, or the matrix fails. `{name}` in a path, a body or a header is filled with the
identifier of a thing of the kind that `ids` gives it: the caller's own, another project's, a stranger's, or nobody's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Over = Literal["nothing", "oneself", "organization", "project", "acting", "within", "operator"]
"""What an operation is over, and so who has a word in it.

nothing: it takes no credential. oneself: a person's own account, in a session of theirs. organization: the whole of
it, with an organization-wide role. project: the one that the path's `project_id` names. acting: it is done in the
caller's own project, or the one that OpenAI-Project names. within: what the caller reaches, be it one project or all;
what lies beyond is not there. operator: with several organizations in the installation nobody's, whoever asks.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One right way to call an operation.

    `ids`: the kinds of what its path, body and headers name. `cursors`: query parameters that are places in a list.
    `members`: query parameters that name an entry of the list, which must be there.
    `filters`: query parameters that narrow an answer, in which nobody's identifier finds nothing. `of_people`: a
    program's key is refused. `form`: the fields of a multipart body, `file` a file's content. `answers`: the status
    where nothing stands in the way. `undo`: a statement that takes the act back, for what can be done once to a project
    or an organization.
    """

    over: Over
    ids: Mapping[str, str] = field(default_factory=dict)
    cursors: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    form: Mapping[str, str] | None = None
    of_people: bool = False
    answers: int = 200
    missing: int = 404
    """The status where what the path or body names is not there, or beyond reach."""
    undo: str | None = None


def _listing(over: Over, kind: str, *, filters: Mapping[str, str] | None = None, **ids: str) -> tuple[Call, ...]:
    return (Call(over=over, ids=ids, cursors={"after": kind, "before": kind}, filters=filters or {}),)


def _limit(scope: str, thing: str) -> Call:
    return Call(
        over="within",
        ids={"scope": thing},
        body={"scope": {"kind": scope, "id": "{scope}"}, "requests_per_minute": 10**9},
        undo="delete from ali.rate_limit where scope_id in (%(project)s, %(organization)s)",
    )


def _usage(*, models: str) -> tuple[Call, ...]:
    filters = {"project_ids": "project", "user_ids": "member", "api_key_ids": "key", models: "address"}
    return (Call(over="within", filters=filters, query={"start_time": "1700000000", "end_time": "1700600000"}),)


def _budget(scope: str, thing: str) -> Call:
    return Call(
        over="within",
        ids={"scope": thing},
        body={"scope": {"kind": scope, "id": "{scope}"}, "period": "day", "limit_microusd": 10**9},
        undo="delete from ali.budget where scope_id in (%(project)s, %(organization)s)",
    )


_AUTH: Final = "/v1/ali/auth"
_PROVIDER: Final = {"provider": "provider"}
_PROJECTS: Final = "/v1/organization/projects"
_PROJECT: Final = f"{_PROJECTS}/{{project_id}}"
_IN_PROJECT: Final = {"project_id": "project"}
_RESPONSE_PATH: Final = "/v1/responses/{response_id}"
_OF_A_RESPONSE: Final = {"response_id": "response"}
_RESPONSE: Final = {"model": "gpt-4.1", "input": "Hello there"}
_CONVERSATION: Final = "/v1/conversations/{conversation_id}"
_IN_CONVERSATION: Final = {"conversation_id": "conversation"}
_COMPLETIONS: Final = "GET /v1/chat/completions"
_ONE_COMPLETION: Final = {"completion_id": "completion"}
_STORES: Final = "/v1/vector_stores"
_STORE: Final = f"{_STORES}/{{vector_store_id}}"
_OF_A_STORE: Final = {"vector_store_id": "vector_store"}
_HELD: Final = _OF_A_STORE | {"file_id": "held"}
_ADDED: Final = _OF_A_STORE | {"file_id": "storable"}
_FILE_BATCH: Final = _OF_A_STORE | {"batch_id": "file_batch"}
_HELLO: Final = [{"role": "user", "content": "Hello there"}]
_CHAT: Final[dict[str, Any]] = {"model": "gpt-4.1", "messages": _HELLO}
_MESSAGE: Final[dict[str, Any]] = {"model": "claude-sonnet-5-5", "messages": _HELLO, "max_tokens": 50}

_IN_ANTHROPIC: Final = {"anthropic-version": "2023-06-01"}
_UPLOAD: Final = "/v1/uploads/{upload_id}"
_IN_UPLOAD: Final = {"upload_id": "upload"}
_CHAT_FILE: Final = [{"role": "user", "content": [{"type": "file", "file": {"file_id": "{file_id}"}}]}]
_FILE_BLOCK: Final = {"type": "document", "source": {"type": "file", "file_id": "{file_id}"}}
_MESSAGES_FILE: Final = [{"role": "user", "content": [_FILE_BLOCK]}]

_SIGNED_IN: Final = "update ali.session set ended_at = null, end_reason = null where organization_id = %(organization)s"

REGISTRY: Final[Mapping[str, tuple[Call, ...]]] = {
    "GET /healthz": (Call(over="nothing"),),
    "GET /readyz": (Call(over="nothing"),),
    "GET /metrics": (Call(over="within"),),
    # models
    "GET /v1/models": (Call(over="within"), Call(over="within", headers={"anthropic-version": "2023-06-01"})),
    "GET /v1/models/{model}": (Call(over="within", ids={"model": "model"}),),
    "POST /v1/chat/completions": (
        Call(over="acting", body=_CHAT),
        Call(over="acting", body=_CHAT | {"store": True, "metadata": {"about": "greetings"}}),
        Call(over="acting", body=_CHAT | {"stream": True}),
        Call(over="acting", body=_MESSAGE),
        Call(over="acting", ids={"file_id": "file"}, body={**_CHAT, "messages": _CHAT_FILE}),
    ),
    _COMPLETIONS: (Call(over="acting", members={"after": "completion"}),),
    f"{_COMPLETIONS}/{{completion_id}}": (Call(over="acting", ids=_ONE_COMPLETION),),
    "POST /v1/chat/completions/{completion_id}": (
        Call(over="acting", ids=_ONE_COMPLETION, body={"metadata": {"about": "greetings"}}),
    ),
    "DELETE /v1/chat/completions/{completion_id}": (Call(over="acting", ids=_ONE_COMPLETION),),
    f"{_COMPLETIONS}/{{completion_id}}/messages": (Call(over="acting", ids=_ONE_COMPLETION),),
    "POST /v1/embeddings": (Call(over="acting", body={"model": "text-embedding-3-small", "input": "Hello there"}),),
    "POST /v1/moderations": (Call(over="acting", body={"input": "Hello there"}),),
    "POST /v1/messages": (
        Call(over="acting", body=_MESSAGE),
        Call(over="acting", body=_MESSAGE | {"stream": True}),
        Call(over="acting", ids={"file_id": "file"}, body={**_MESSAGE, "messages": _MESSAGES_FILE}),
    ),
    "POST /v1/messages/count_tokens": (
        Call(over="acting", body={"model": "claude-sonnet-5-5", "messages": _HELLO}),
        Call(
            over="acting",
            ids={"file_id": "file"},
            body={"model": "claude-sonnet-5-5", "messages": _MESSAGES_FILE},
        ),
    ),
    # responses
    "POST /v1/responses": (
        Call(over="acting", body=_RESPONSE),
        Call(over="acting", body=_RESPONSE | {"stream": True}),
        Call(over="acting", body=_RESPONSE | {"background": True}),
        Call(
            over="acting",
            ids={"previous": "response"},
            body=_RESPONSE | {"previous_response_id": "{previous}"},
            missing=400,  # as OpenAI's
        ),
        Call(over="acting", ids=_IN_CONVERSATION, body=_RESPONSE | {"conversation": "{conversation_id}"}),
    ),
    "POST /v1/responses/input_tokens": (
        Call(over="acting", body={"model": "claude-sonnet-5-5", "input": "Hello there"}),
        Call(
            over="acting",
            ids=_IN_CONVERSATION,
            body={"model": "claude-sonnet-5-5", "input": "Hello there", "conversation": "{conversation_id}"},
        ),
        Call(
            over="acting",
            ids={"previous": "response"},
            body={"model": "claude-sonnet-5-5", "input": "Hello there", "previous_response_id": "{previous}"},
            missing=400,
        ),
    ),
    "POST /v1/responses/compact": (
        Call(over="acting", body={"model": "gpt-4.1", "input": "Hello there"}),
        Call(
            over="acting",
            ids=_IN_CONVERSATION,
            body={"model": "gpt-4.1", "input": "Hello there", "conversation": "{conversation_id}"},
        ),
    ),
    f"GET {_RESPONSE_PATH}": (
        Call(over="acting", ids=_OF_A_RESPONSE),
        Call(over="acting", ids=_OF_A_RESPONSE, query={"stream": "true", "starting_after": "1"}),
    ),
    f"DELETE {_RESPONSE_PATH}": (Call(over="acting", ids=_OF_A_RESPONSE),),
    f"POST {_RESPONSE_PATH}/cancel": (Call(over="acting", ids=_OF_A_RESPONSE),),
    f"GET {_RESPONSE_PATH}/input_items": (
        Call(over="acting", ids=_OF_A_RESPONSE, members={"after": "asked", "before": "asked"}),
    ),
    # conversations
    "POST /v1/conversations": (
        Call(over="acting", body={"items": _HELLO}),
        Call(over="acting", body={"metadata": {"about": "greetings"}}),
    ),
    f"GET {_CONVERSATION}": (Call(over="acting", ids=_IN_CONVERSATION),),
    f"POST {_CONVERSATION}": (Call(over="acting", ids=_IN_CONVERSATION, body={"metadata": {"about": "greetings"}}),),
    f"DELETE {_CONVERSATION}": (Call(over="acting", ids=_IN_CONVERSATION),),
    f"GET {_CONVERSATION}/items": (
        Call(over="acting", ids=_IN_CONVERSATION, members={"after": "item", "before": "item"}),
    ),
    f"POST {_CONVERSATION}/items": (Call(over="acting", ids=_IN_CONVERSATION, body={"items": _HELLO}),),
    f"GET {_CONVERSATION}/items/{{item_id}}": (Call(over="acting", ids=_IN_CONVERSATION | {"item_id": "item"}),),
    f"DELETE {_CONVERSATION}/items/{{item_id}}": (Call(over="acting", ids=_IN_CONVERSATION | {"item_id": "item"}),),
    # files and batches
    "POST /v1/files": (
        Call(over="acting", form={"purpose": "batch", "file": "A file"}),
        Call(over="acting", form={"file": "A file"}, headers=_IN_ANTHROPIC),
    ),
    "GET /v1/files": (
        Call(over="acting", cursors={"after": "file"}),
        Call(over="acting", cursors={"after_id": "file", "before_id": "file"}, headers=_IN_ANTHROPIC),
        Call(over="acting", filters={"ids": "file"}, headers=_IN_ANTHROPIC),
    ),
    "GET /v1/files/{file_id}": (
        Call(over="acting", ids={"file_id": "file"}),
        Call(over="acting", ids={"file_id": "file"}, headers=_IN_ANTHROPIC),
    ),
    "DELETE /v1/files/{file_id}": (
        Call(over="acting", ids={"file_id": "file"}),
        Call(over="acting", ids={"file_id": "file"}, headers=_IN_ANTHROPIC),
    ),
    "GET /v1/files/{file_id}/content": (Call(over="acting", ids={"file_id": "file"}),),
    "POST /v1/uploads": (
        Call(
            over="acting",
            body={"bytes": 1, "filename": "a file", "mime_type": "text/plain", "purpose": "user_data"},
        ),
    ),
    f"POST {_UPLOAD}/parts": (Call(over="acting", ids=_IN_UPLOAD, form={"data": "A part"}),),
    f"POST {_UPLOAD}/complete": (Call(over="acting", ids=_IN_UPLOAD, body={"part_ids": []}),),
    f"POST {_UPLOAD}/cancel": (Call(over="acting", ids=_IN_UPLOAD),),
    "POST /v1/batches": (
        Call(
            over="acting",
            ids={"file_id": "file"},
            body={"input_file_id": "{file_id}", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
        ),
    ),
    "GET /v1/batches": (Call(over="acting", cursors={"after": "batch"}),),
    "GET /v1/batches/{batch_id}": (Call(over="acting", ids={"batch_id": "batch"}),),
    "POST /v1/batches/{batch_id}/cancel": (Call(over="acting", ids={"batch_id": "batch"}),),
    "POST /v1/messages/batches": (Call(over="acting", body={"requests": [{"custom_id": "one", "params": _MESSAGE}]}),),
    "GET /v1/messages/batches": (
        Call(over="acting", cursors={"after_id": "message_batch", "before_id": "message_batch"}),
    ),
    "GET /v1/messages/batches/{message_batch_id}": (Call(over="acting", ids={"message_batch_id": "message_batch"}),),
    "POST /v1/messages/batches/{message_batch_id}/cancel": (
        Call(over="acting", ids={"message_batch_id": "message_batch"}),
    ),
    "DELETE /v1/messages/batches/{message_batch_id}": (
        Call(over="acting", ids={"message_batch_id": "ended_message_batch"}),
    ),
    "GET /v1/messages/batches/{message_batch_id}/results": (
        Call(over="acting", ids={"message_batch_id": "ended_message_batch"}),
    ),
    # vector stores
    f"GET {_STORES}": _listing("acting", "vector_store"),
    f"POST {_STORES}": (
        Call(over="acting", body={"name": "Laws", "metadata": {"about": "greetings"}}),
        Call(over="acting", ids={"file_id": "storable"}, body={"file_ids": ["{file_id}"]}),
    ),
    f"GET {_STORE}": (Call(over="acting", ids=_OF_A_STORE),),
    f"POST {_STORE}": (Call(over="acting", ids=_OF_A_STORE, body={"name": "Decrees"}),),
    f"DELETE {_STORE}": (Call(over="acting", ids=_OF_A_STORE),),
    f"GET {_STORE}/files": (Call(over="acting", ids=_OF_A_STORE, members={"after": "held", "before": "held"}),),
    f"POST {_STORE}/files": (
        Call(over="acting", ids=_ADDED, body={"file_id": "{file_id}", "attributes": {"year": 2024}}),
    ),
    f"GET {_STORE}/files/{{file_id}}": (Call(over="acting", ids=_HELD),),
    f"POST {_STORE}/files/{{file_id}}": (Call(over="acting", ids=_HELD, body={"attributes": {"year": 2024}}),),
    f"DELETE {_STORE}/files/{{file_id}}": (Call(over="acting", ids=_HELD),),
    f"GET {_STORE}/files/{{file_id}}/content": (Call(over="acting", ids=_HELD),),
    f"POST {_STORE}/file_batches": (
        Call(over="acting", ids=_ADDED, body={"file_ids": ["{file_id}"]}),
        Call(over="acting", ids=_ADDED, body={"files": [{"file_id": "{file_id}", "attributes": {"year": 2024}}]}),
    ),
    f"GET {_STORE}/file_batches/{{batch_id}}": (Call(over="acting", ids=_FILE_BATCH),),
    f"POST {_STORE}/file_batches/{{batch_id}}/cancel": (Call(over="acting", ids=_FILE_BATCH),),
    f"GET {_STORE}/file_batches/{{batch_id}}/files": (
        Call(over="acting", ids=_FILE_BATCH, members={"after": "held", "before": "held"}),
    ),
    f"POST {_STORE}/search": (
        Call(over="acting", ids=_OF_A_STORE, body={"query": "Hello there", "rewrite_query": True}),
        Call(
            over="acting",
            ids=_OF_A_STORE,
            body={"query": ["Hello", "there"], "filters": {"type": "eq", "key": "year", "value": 2024}},
        ),
    ),
    # projects and their people
    f"GET {_PROJECTS}": _listing("within", "project"),
    f"POST {_PROJECTS}": (Call(over="organization", body={"name": "New"}),),
    f"GET {_PROJECT}": (Call(over="project", ids=_IN_PROJECT),),
    f"POST {_PROJECT}": (Call(over="project", ids=_IN_PROJECT, body={"name": "Renamed"}),),
    f"POST {_PROJECT}/archive": (
        Call(over="project", ids=_IN_PROJECT, undo="update ali.project set archived_at = null where id = %(project)s"),
    ),
    f"GET {_PROJECT}/users": _listing("project", "member", project_id="project"),
    f"POST {_PROJECT}/users": (
        Call(
            over="project",
            ids=_IN_PROJECT | {"user_id": "person"},
            body={"user_id": "{user_id}", "role": "member"},
        ),
        Call(over="project", ids=_IN_PROJECT | {"email": "address"}, body={"email": "{email}", "role": "member"}),
    ),
    f"GET {_PROJECT}/users/{{user_id}}": (Call(over="project", ids=_IN_PROJECT | {"user_id": "member"}),),
    f"POST {_PROJECT}/users/{{user_id}}": (
        Call(over="project", ids=_IN_PROJECT | {"user_id": "member"}, body={"role": "member"}),
    ),
    f"DELETE {_PROJECT}/users/{{user_id}}": (Call(over="project", ids=_IN_PROJECT | {"user_id": "member"}),),
    # keys and programs
    f"GET {_PROJECT}/api_keys": _listing("project", "key", project_id="project"),
    f"POST {_PROJECT}/api_keys": (Call(over="project", ids=_IN_PROJECT, body={"name": "New"}),),
    f"GET {_PROJECT}/api_keys/{{key_id}}": (Call(over="project", ids=_IN_PROJECT | {"key_id": "key"}),),
    f"POST {_PROJECT}/api_keys/{{key_id}}": (
        Call(over="project", ids=_IN_PROJECT | {"key_id": "key"}, body={"name": "Renamed"}),
    ),
    f"DELETE {_PROJECT}/api_keys/{{key_id}}": (Call(over="project", ids=_IN_PROJECT | {"key_id": "key"}),),
    f"GET {_PROJECT}/service_accounts": _listing("project", "account", project_id="project"),
    f"POST {_PROJECT}/service_accounts": (Call(over="project", ids=_IN_PROJECT, body={"name": "New"}),),
    f"GET {_PROJECT}/service_accounts/{{service_account_id}}": (
        Call(over="project", ids=_IN_PROJECT | {"service_account_id": "account"}),
    ),
    f"POST {_PROJECT}/service_accounts/{{service_account_id}}": (
        Call(over="project", ids=_IN_PROJECT | {"service_account_id": "account"}, body={"name": "Renamed"}),
    ),
    f"DELETE {_PROJECT}/service_accounts/{{service_account_id}}": (
        Call(over="project", ids=_IN_PROJECT | {"service_account_id": "account"}),
    ),
    f"POST {_PROJECT}/service_accounts/{{service_account_id}}/api_keys": (
        Call(over="project", ids=_IN_PROJECT | {"service_account_id": "account"}, body={"name": "Further"}),
    ),
    "GET /v1/organization/admin_api_keys": _listing("organization", "admin_key"),
    "POST /v1/organization/admin_api_keys": (Call(over="organization", body={"name": "New"}),),
    "GET /v1/organization/admin_api_keys/{key_id}": (Call(over="organization", ids={"key_id": "admin_key"}),),
    "DELETE /v1/organization/admin_api_keys/{key_id}": (Call(over="organization", ids={"key_id": "admin_key"}),),
    # people
    "GET /v1/organization/users": _listing("organization", "person", filters={"emails": "address"}),
    "GET /v1/organization/users/{user_id}": (Call(over="organization", ids={"user_id": "person"}),),
    "POST /v1/organization/users/{user_id}": (
        Call(over="organization", ids={"user_id": "person"}, body={"role": "member"}),
        Call(over="organization", ids={"user_id": "person"}, body={"disabled": True}),
    ),
    "DELETE /v1/organization/users/{user_id}": (Call(over="organization", ids={"user_id": "person"}),),
    "GET /v1/organization/invites": _listing("organization", "invite"),
    "POST /v1/organization/invites": (
        Call(over="organization", body={"email": "{fresh}@example.org", "role": "member"}),
        Call(
            over="organization",
            ids={"project": "project"},
            body={
                "email": "{fresh}@example.org",
                "role": "member",
                "projects": [{"id": "{project}", "role": "member"}],
            },
        ),
    ),
    "GET /v1/organization/invites/{invite_id}": (Call(over="organization", ids={"invite_id": "invite"}),),
    "DELETE /v1/organization/invites/{invite_id}": (Call(over="organization", ids={"invite_id": "invite"}),),
    # what was done and used
    "GET /v1/organization/audit_logs": _listing(
        "organization",
        "event",
        filters={
            "project_ids": "project",
            "actor_ids": "key",
            "resource_ids": "member",
            "actor_emails": "address",
            "event_types": "address",
        },
    ),
    "GET /v1/organization/usage/completions": _usage(models="models"),
    "GET /v1/organization/usage/embeddings": _usage(models="models"),
    "GET /v1/organization/costs": _usage(models="line_items"),
    # budgets
    "GET /v1/ali/budgets": (Call(over="within", cursors={"after": "budget"}),),
    "POST /v1/ali/budgets": (
        _budget("key", "key"),
        _budget("project", "project"),
        _budget("user", "person"),
        _budget("organization", "organization"),
    ),
    "GET /v1/ali/budgets/webhook_secret": (Call(over="organization"),),
    "GET /v1/ali/budgets/{budget_id}": (Call(over="within", ids={"budget_id": "budget"}),),
    "POST /v1/ali/budgets/{budget_id}": (Call(over="within", ids={"budget_id": "budget"}, body={"limit_microusd": 5}),),
    "DELETE /v1/ali/budgets/{budget_id}": (Call(over="within", ids={"budget_id": "budget"}),),
    # limits
    "GET /v1/ali/limits": (Call(over="within", cursors={"after": "limit"}),),
    "POST /v1/ali/limits": (
        _limit("key", "key"),
        _limit("project", "project"),
        _limit("user", "person"),
        _limit("organization", "organization"),
    ),
    "GET /v1/ali/limits/{limit_id}": (Call(over="within", ids={"limit_id": "limit"}),),
    "POST /v1/ali/limits/{limit_id}": (
        Call(over="within", ids={"limit_id": "limit"}, body={"requests_per_minute": 10**9 - 1}),
    ),
    "DELETE /v1/ali/limits/{limit_id}": (Call(over="within", ids={"limit_id": "limit"}),),
    # signing in: what it takes to succeed is in tests/identity
    "GET /.well-known/jwks.json": (Call(over="nothing"),),
    "GET /accept-invitation": (Call(over="nothing"),),
    "GET /reset-password": (Call(over="nothing"),),
    "GET /account/link.js": (Call(over="nothing"),),
    "GET /account/link.css": (Call(over="nothing"),),
    f"POST {_AUTH}/sign-in": (Call(over="nothing", body={}, answers=400),),
    f"POST {_AUTH}/refresh": (Call(over="nothing", body={"refresh_token": "x"}, answers=401),),
    f"POST {_AUTH}/password/reset": (Call(over="nothing", body={}, answers=400),),
    f"POST {_AUTH}/password/reset/confirm": (Call(over="nothing", body={}, answers=400),),
    f"POST {_AUTH}/invitations/accept": (Call(over="nothing", body={}, answers=400),),
    f"GET {_AUTH}/openid": (Call(over="nothing"),),
    f"POST {_AUTH}/openid/{{provider}}/start": (Call(over="nothing", ids=_PROVIDER, body={}, answers=404),),
    f"GET {_AUTH}/openid/{{provider}}/callback": (Call(over="nothing", ids=_PROVIDER, answers=404),),
    # a person's own account
    f"GET {_AUTH}/me": (Call(over="oneself"),),
    f"GET {_AUTH}/sessions": (Call(over="oneself"),),
    f"DELETE {_AUTH}/sessions/{{session_id}}": (Call(over="oneself", ids={"session_id": "session"}, answers=404),),
    f"POST {_AUTH}/sign-out": (Call(over="oneself", undo=_SIGNED_IN),),
    f"POST {_AUTH}/sign-out-everywhere": (Call(over="oneself", undo=_SIGNED_IN),),
    f"POST {_AUTH}/password/change": (Call(over="oneself", body={}, answers=400),),
    f"POST {_AUTH}/second-factor/enrol": (Call(over="oneself", body={}, answers=400),),
    f"POST {_AUTH}/second-factor/confirm": (Call(over="oneself", body={}, answers=400),),
    f"POST {_AUTH}/second-factor/disable": (Call(over="oneself", body={}, answers=400),),
    f"POST {_AUTH}/second-factor/recovery-codes": (Call(over="oneself", body={}, answers=400),),
    # other people's sign-in
    f"POST {_AUTH}/users/{{user_id}}/end-sessions": (Call(over="organization", ids={"user_id": "person"}),),
    f"POST {_AUTH}/users/{{user_id}}/reset-second-factor": (Call(over="organization", ids={"user_id": "enrolled"}),),
    f"POST {_AUTH}/keys/{{kid}}/destroy": (Call(over="operator", ids={"kid": "key"}, answers=403),),
    # second signatures
    "GET /v1/ali/organization": (Call(over="organization"),),
    "POST /v1/ali/organization": (Call(over="organization", body={"four_eyes": False}),),
    "GET /v1/ali/approvals": _listing("organization", "approval"),
    "POST /v1/ali/approvals": (
        Call(over="organization", body={"verb": "subject.erase", "target": "user-1", "reason": "They asked."}),
    ),
    "GET /v1/ali/approvals/{approval_id}": (Call(over="organization", ids={"approval_id": "approval"}),),
    "POST /v1/ali/approvals/{approval_id}/approve": (
        Call(over="organization", ids={"approval_id": "approval"}, of_people=True),
    ),
    "POST /v1/ali/approvals/{approval_id}/refuse": (
        Call(over="organization", ids={"approval_id": "approval"}, of_people=True),
    ),
}
"""By method and path, as the OpenAPI document has them."""
