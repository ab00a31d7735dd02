"""The ground that the matrix stands on: two organizations with one of each thing that an identifier can name."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from ali.features.batches.naming import BATCH, MESSAGE_BATCH, MESSAGE_RESULTS
from ali.features.files.naming import FILE, UPLOAD
from ali.features.identity.naming import Kind, named
from ali.features.keys.secret import digest, hint, mint
from ali.features.knowledge.naming import FILE_BATCH, VECTOR_STORE
from ali.features.metering.budgets.naming import BUDGET
from ali.features.metering.limiting.drafts import LIMIT
from ali.kernel.ids import uuid7
from tests.fixtures.database import HMAC_SECRET
from tests.tenancy.standing import Standing

PREFIXES: Final[Mapping[str, str]] = {
    "organization": Kind.ORGANIZATION.value,
    "project": Kind.PROJECT.value,
    "person": Kind.USER.value,
    "enrolled": Kind.USER.value,
    "member": Kind.USER.value,
    "account": Kind.SERVICE_ACCOUNT.value,
    "key": Kind.API_KEY.value,
    "admin_key": Kind.API_KEY.value,
    "invite": Kind.INVITE.value,
    "approval": Kind.APPROVAL.value,
    "event": Kind.AUDIT_EVENT.value,
    "budget": BUDGET,
    "limit": LIMIT,
    "session": Kind.SESSION.value,
    "conversation": Kind.CONVERSATION.value,
    "response": Kind.RESPONSE.value,
    "completion": "chatcmpl-",
    "file": FILE,
    "upload": UPLOAD,
    "batch": BATCH,
    "message_batch": MESSAGE_BATCH,
    "ended_message_batch": MESSAGE_BATCH,
    "storable": FILE,
    "vector_store": VECTOR_STORE,
    "held": FILE,
    "file_batch": FILE_BATCH,
}
"""What can be named, and how its identifiers begin. `person` is somebody who is a member of no project, `enrolled` one
with a second factor; `held` and `file_batch` are a vector store's file, and the batch that it came in.
"""

OF_A_PROJECT: Final = (
    *("member", "account", "key", "budget", "limit", "event", "conversation", "response", "completion"),
    *("file", "upload", "batch", "message_batch", "ended_message_batch"),
    *("storable", "vector_store"),
)
OF_AN_ORGANIZATION: Final = ("person", "enrolled", "admin_key", "invite", "approval", "session")

_CONTENTS: Final = """
select md5(string_agg(md5(content), '' order by name, content)) from (
    {}
) as everything(name, content)
"""
_USAGE: Final = (
    "insert into ali.usage_record (id, organization_id, project_id, api_key_id, user_id, instance_id, operation, model,"
    " outcome, streamed, cached, attempts, usage_reported, input_tokens, cached_input_tokens, cache_write_tokens,"
    " output_tokens, reasoning_tokens, cost_microusd, started_at) values (%s, %s, %s, %s, %s, %s, 'chat.completions',"
    " 'gpt-4.1', 'ok', false, false, 1, true, 1, 0, 0, 1, 0, 1, now() - interval '1 hour')"
)


_BOUNDARY: Final = "the-boundary-of-the-form"
FORM_TYPE: Final = f"multipart/form-data; boundary={_BOUNDARY}"
"""The content-type of `as_form`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Land:
    """One project and one of each thing in and around it, by kind, as the outside names them."""

    organization_id: UUID
    project_id: UUID
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A person's session, as an access token names it."""

    organization_id: UUID
    person: UUID
    session: UUID
    role: str


class Ground:
    """Makes things in the database as its owner, beside the service; each call one or two statements.

    `home`: the service's, in which it keeps the bytes of files.
    """

    def __init__(self, connection: psycopg.Connection, *, home: Path) -> None:
        self._connection = connection
        self._home = home
        tables = connection.execute(
            "select c.table_name from information_schema.columns c join information_schema.tables t"
            " using (table_schema, table_name) where c.table_schema = 'ali' and c.column_name = 'organization_id'"
            " and t.table_type = 'BASE TABLE' order by 1"
        ).fetchall()
        parts = [
            f"select '{table}', (to_jsonb(t) - 'last_used_at')::text from ali.{table} t"  # noqa: S608 - of the catalog
            " where organization_id = any(%(organizations)s)"
            for (table,) in tables
        ]
        parts.append(
            "select 'organization', to_jsonb(t)::text from ali.organization t where id = any(%(organizations)s)"
        )
        self._contents = _CONTENTS.format(" union all ".join(parts))

    def run(self, statement: str, *values: object) -> None:
        """One statement as the owner of the schema."""
        self._connection.execute(statement.encode(), values)

    def undo(self, statement: str, land: Land) -> None:
        """A `Call.undo` in `land`."""
        values = {"project": land.project_id, "organization": land.organization_id}
        self._connection.execute(statement.encode(), values)

    def contents(self, *organizations: UUID) -> str:
        """A digest of every row of these organizations, but for when keys were last used."""
        row = self._connection.execute(self._contents.encode(), {"organizations": list(organizations)}).fetchone()
        assert row is not None
        return str(row[0])

    def organization(self) -> UUID:
        """A new organization."""
        made = uuid7()
        self.run("insert into ali.organization (id, name) values (%s, 'An organization')", made)
        return made

    def project(self, organization: UUID) -> UUID:
        """A new project."""
        made = uuid7()
        self.run("insert into ali.project (id, organization_id, name) values (%s, %s, 'A project')", made, organization)
        return made

    def land(self, organization: UUID) -> Land:
        """A new project of `organization` with one of each thing."""
        project = self.project(organization)
        names = {kind: self.make(kind, organization, project) for kind in (*OF_A_PROJECT, *OF_AN_ORGANIZATION)}
        names |= {
            "organization": named(Kind.ORGANIZATION, organization),
            "project": named(Kind.PROJECT, project),
            "address": address_of(names["person"]),
            "item": item_of(names["conversation"]),
            "asked": item_of(names["response"]),
            "held": FILE + names["vector_store"][-32:],
            "file_batch": FILE_BATCH + names["vector_store"][-32:],
            "model": "gpt-4.1",
            "provider": "nobodys",
        }
        key, person = (UUID(names[kind][-32:]) for kind in ("key", "member"))
        self.run(_USAGE, uuid7(), organization, project, key, person, uuid7())
        return Land(organization_id=organization, project_id=project, names=names)

    def things(self, kinds: Iterable[str], land: Land) -> dict[str, str]:
        """Things in `land`, by kind: newly made where they are no project, organization or model."""
        made = {}
        for kind in kinds:
            if kind in ("project", "organization", "model", "provider"):
                made[kind] = land.names[kind]
            elif kind == "address":
                made[kind] = address_of(self.make("person", land.organization_id, land.project_id))
            elif kind == "item":
                made[kind] = item_of(made["conversation"])  # of the call's own conversation
            elif kind == "asked":
                made[kind] = item_of(made["response"])
            elif kind in ("held", "file_batch"):
                made[kind] = PREFIXES[kind] + made["vector_store"][-32:]
            else:
                made[kind] = self.make(kind, land.organization_id, land.project_id)
        return made

    def make(self, kind: str, organization: UUID, project: UUID) -> str:
        """A thing of `kind`, which may do as little as there is; its identifier as the outside knows it."""
        made = uuid7()
        match kind:
            case "person" | "member":
                self.person(made, organization, role="member")
                if kind == "member":
                    self.membership(made, organization, project, role="member")
            case "enrolled":
                self.person(made, organization, role="member")
                self.run("update ali.user_account set totp_secret = '\\x00' where id = %s", made)
            case "account":
                self.account(made, organization, project, role="member")
            case "key" | "admin_key":
                self.key(made, organization, project if kind == "key" else None, role="member")
            case "invite":
                self.run(
                    "insert into ali.invite (id, organization_id, email, role, digest, expires_at)"
                    " values (%s, %s, %s, 'member', %s, now() + interval '7 days')",
                    *(made, organization, f"{made.hex}@example.org", secrets.token_bytes(32)),
                )
            case "approval":
                self.run(
                    "insert into ali.approval (id, organization_id, verb, target, reason, requested_by, expires_at)"
                    " values (%s, %s, 'subject.erase', 'user-1', 'They asked.', %s, now() + interval '1 day')",
                    *(made, organization, uuid7()),
                )
            case "event":
                self.run(
                    "insert into ali.audit_event (id, organization_id, project_id, action, actor_kind)"
                    " values (%s, %s, %s, 'project.updated', 'operator')",
                    *(made, organization, project),
                )
            case "budget":
                key = UUID(self.make("key", organization, project)[-32:])
                self.run(
                    "insert into ali.budget (id, organization_id, project_id, scope_kind, scope_id, period, mode,"
                    " limit_microusd) values (%s, %s, %s, 'key', %s, 'day', 'soft', 1000000)",
                    *(made, organization, project, key),
                )
            case "limit":
                key = UUID(self.make("key", organization, project)[-32:])
                self.run(
                    "insert into ali.rate_limit (id, organization_id, scope, scope_id, requests_per_minute)"
                    " values (%s, %s, 'key', %s, 1000000000)",
                    *(made, organization, key),
                )
            case "session":
                person = UUID(self.make("person", organization, project)[-32:])
                self.session(made, organization, person)
            case "completion" | "conversation" | "response":
                self._said(kind, made, organization, project)
            case "file" | "upload" | "storable" | "vector_store" | "batch" | "message_batch" | "ended_message_batch":
                self.filed(made, organization, project, kind=kind)
            case _:
                raise ValueError(kind)
        return PREFIXES[kind] + made.hex

    def _said(self, kind: str, made: UUID, organization: UUID, project: UUID) -> None:
        """A thing that holds what people and models said."""
        match kind:
            case "completion":
                named_so, answer = PREFIXES[kind] + made.hex, {"object": "chat.completion", "choices": []}
                self.run(
                    "insert into ali.chat_completion (id, organization_id, project_id, public_id, model,"
                    " answering_model, messages, answer) values (%s, %s, %s, %s, 'gpt-4.1', 'gpt-4.1', '[]', %s)",
                    *(made, organization, project, named_so, as_json({"id": named_so, **answer})),
                )
            case "conversation":
                self.run(
                    "insert into ali.conversation (id, organization_id, project_id, next_position)"
                    " values (%s, %s, %s, 1)",
                    *(made, organization, project),
                )
                item = item_of(made.hex)
                body = {"id": item, "type": "message", "role": "user", "status": "completed", "content": []}
                self.run(
                    "insert into ali.conversation_item (conversation_id, position, organization_id, project_id,"
                    " item_id, kind, body) values (%s, 0, %s, %s, %s, 'message', %s)",
                    *(made, organization, project, item, as_json(body)),
                )
            case "response":
                head = {"id": PREFIXES[kind] + made.hex, "object": "response", "status": "cancelled"}
                asked = {"type": "message", "role": "user", "content": [], "status": "completed"}
                self.run(
                    "insert into ali.response (id, organization_id, project_id, status, background, head, input,"
                    " output) values (%s, %s, %s, 'cancelled', true, %s, %s, '[]')",
                    *(made, organization, project, as_json(head), as_json([{"id": item_of(made.hex), **asked}])),
                )

    def file(self, made: UUID, organization: UUID, project: UUID, *, purpose: str) -> str:
        """A file of four bytes, by the name of its object."""
        name = f"{project.hex}/{secrets.token_hex(16)}"
        place = self._home / "objects" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"{}\n\n")
        self.run(
            "insert into ali.file (id, organization_id, project_id, purpose, name, size_bytes, object_name, state)"
            " values (%s, %s, %s, %s, 'a file', 4, %s, 'ready')",
            *(made, organization, project, purpose, name),
        )
        return name

    def filed(self, made: UUID, organization: UUID, project: UUID, *, kind: str) -> None:
        """A file, an upload that becomes one, or a batch or vector store over one."""
        if kind in ("file", "storable"):
            self.file(made, organization, project, purpose="batch" if kind == "file" else "assistants")
        elif kind == "vector_store":
            self.vector_store(made, organization, project)
        elif kind == "upload":
            self.run(
                "insert into ali.upload (id, organization_id, project_id, purpose, name, size_bytes, expires_at)"
                " values (%s, %s, %s, 'user_data', 'a file', 0, now() + interval '1 hour')",
                *(made, organization, project),
            )
        else:
            self.batch(made, organization, project, kind=kind)

    def batch(self, made: UUID, organization: UUID, project: UUID, *, kind: str) -> None:
        """A batch of nobody's that waits to be run, or one that has ended."""
        source, output, ended = uuid7(), uuid7(), kind == "ended_message_batch"
        name = self.file(source, organization, project, purpose="batch")
        if ended:
            self.file(output, organization, project, purpose=MESSAGE_RESULTS)
        self.run(
            "insert into ali.batch (id, organization_id, project_id, dialect, status, endpoint, input_file_id,"
            " input_object, output_ttl_s, expires_at, ended_at, output_file_id) values (%s, %s, %s, %s, %s,"
            " '/v1/messages', %s, %s, 3600, now() + interval '1 day', %s, %s)",
            *(made, organization, project, "openai" if kind == "batch" else "anthropic"),
            *("completed" if ended else "validating", source, name),
            *((datetime.now(UTC), output) if ended else (None, None)),
        )

    def vector_store(self, made: UUID, organization: UUID, project: UUID) -> None:
        """A store with one empty file, which came in a batch; all of one identifier."""
        tenant = made, made, organization, project
        self.file(made, organization, project, purpose="assistants")
        self.run(
            "insert into ali.vector_store (id, organization_id, project_id, name) values (%s, %s, %s, 'a store')",
            *(made, organization, project),
        )
        self.run(
            "insert into ali.store_file_batch (id, vector_store_id, organization_id, project_id)"
            " values (%s, %s, %s, %s)",
            *tenant,
        )
        self.run(
            "insert into ali.store_document (id, vector_store_id, organization_id, project_id, digest, chunking,"
            " first_number, chunks, words, size_bytes) values (%s, %s, %s, %s, '', 'auto', 0, 0, 0, 0)",
            *tenant,
        )
        self.run(
            "insert into ali.store_file (id, vector_store_id, organization_id, project_id, file_id, document_id,"
            " batch_id, chunking, status) values (%s, %s, %s, %s, %s, %s, %s, 'auto', 'completed')",
            *(*tenant, made, made, made),
        )

    def person(self, made: UUID, organization: UUID, *, role: str) -> None:
        """Somebody of the organization."""
        self.run(
            "insert into ali.user_account (id, organization_id, email, role) values (%s, %s, %s, %s)",
            *(made, organization, f"{made.hex}@example.org", role),
        )

    def membership(self, person: UUID, organization: UUID, project: UUID, *, role: str) -> None:
        """Their part in a project."""
        self.run(
            "insert into ali.project_member (project_id, user_id, organization_id, role) values (%s, %s, %s, %s)",
            *(project, person, organization, role),
        )

    def account(self, made: UUID, organization: UUID, project: UUID, *, role: str) -> None:
        """A program of a project."""
        self.run(
            "insert into ali.service_account (id, organization_id, project_id, name, role)"
            " values (%s, %s, %s, 'An account', %s)",
            *(made, organization, project, role),
        )

    def key(
        self,
        made: UUID,
        organization: UUID,
        project: UUID | None,
        *,
        role: str,
        person: UUID | None = None,
        account: UUID | None = None,
    ) -> str:
        """A key's secret."""
        secret = mint()
        self.run(
            "insert into ali.api_key (id, organization_id, project_id, user_id, service_account_id, name, role, digest,"
            " hint) values (%s, %s, %s, %s, %s, 'A key', %s, %s, %s)",
            *(made, organization, project, person, account, role),
            *(digest(secret, hmac_secret=HMAC_SECRET.encode()), hint(secret)),
        )
        return secret

    def session(self, made: UUID, organization: UUID, person: UUID) -> None:
        """A session of somebody."""
        self.run(
            "insert into ali.session (id, organization_id, user_id, method, current)"
            " values (%s, %s, %s, 'password', %s)",
            *(made, organization, person, secrets.token_bytes(32)),
        )

    def signed_in(self, standing: Standing, land: Land) -> SignedIn:
        """A person of `standing` in `land`, and a session of theirs."""
        person, session = uuid7(), uuid7()
        self.person(person, land.organization_id, role=standing.role)
        if standing.membership:
            self.membership(person, land.organization_id, land.project_id, role=standing.membership)
        self.session(session, land.organization_id, person)
        return SignedIn(organization_id=land.organization_id, person=person, session=session, role=standing.role)

    def credential(self, standing: Standing, land: Land) -> str:
        """The secret of a key of `standing` in `land`."""
        organization, project, holder = land.organization_id, land.project_id, uuid7()
        if standing.holder == "person":
            self.person(holder, organization, role=standing.role)
            if standing.membership:
                self.membership(holder, organization, project, role=standing.membership)
        if standing.holder == "account":
            self.account(holder, organization, project, role=standing.role)
        return self.key(
            uuid7(),
            organization,
            project if standing.bound else None,
            role=standing.role if standing.holder == "nobody" else "owner",
            person=holder if standing.holder == "person" else None,
            account=holder if standing.holder == "account" else None,
        )


def address_of(person: str) -> str:
    """The address of e-mail of somebody made here, by their identifier."""
    return f"{person[-32:]}@example.org"


def item_of(conversation: str) -> str:
    """The item of a conversation, or of a response's input, made here, by the identifier of what it is in."""
    return f"msg_{conversation[-32:]}"


def neighbour_of(name: str) -> str:
    """A name of nothing. An identifier is of the very kind and time of `name`: only its random end is another."""
    if name.endswith("@example.org"):
        return "nobody@example.org"
    return name[:-6] + f"{int(name[-6:], 16) ^ 0x5A5A5A:06x}"


def as_form(fields: Mapping[str, str]) -> bytes:
    """A request's multipart body; the fields `file` and `data` are files."""
    parts = (
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"'
        + ('; filename="a file"' if name in ("file", "data") else "")
        + f"\r\n\r\n{value}\r\n"
        for name, value in fields.items()
    )
    return f"{''.join(parts)}--{_BOUNDARY}--\r\n".encode()


def as_json(value: object) -> bytes:
    """A request's body."""
    return json.dumps(value).encode()
