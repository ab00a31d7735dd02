"""Metrics: every one of the service's Prometheus instruments, in one registry per application.

Labels hold only values that the operator or the code chose (operation, provider, outcome), never what callers sent, so
that their number stays bounded.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The instruments. An increment costs 0.6 µs, finding the child of a label set 2 µs more: keep the child."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ali_requests_total",
            "Requests ended, by operation and outcome (ok, error, cancelled, refused).",
            ["operation", "outcome"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "ali_request_duration_seconds",
            "From the request's arrival to the end of its answer.",
            ["operation"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_token = Histogram(
            "ali_time_to_first_token_seconds",
            "From the request's arrival to the first event of a streamed answer.",
            ["operation"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = 0
        """Requests being served by this process; a plain number, read when metrics are."""
        Gauge("ali_requests_in_flight", "Requests being served by this process.", registry=self.registry).set_function(
            lambda: self.in_flight
        )
        self.sockets = 0
        """WebSockets open in this process; as above."""
        Gauge("ali_sockets_open", "WebSockets open in this process.", registry=self.registry).set_function(
            lambda: self.sockets
        )
        self.tokens = Counter(
            "ali_tokens_total",
            "Tokens used, by provider and kind (input, cached_input, output).",
            ["provider", "kind"],
            registry=self.registry,
        )
        self.cost = Counter(
            "ali_cost_microusd_total", "Money spent at a provider.", ["provider"], registry=self.registry
        )
        self.attempts = Counter(
            "ali_upstream_attempts_total",
            "Calls to providers, by result (ok, or the error's code).",
            ["provider", "result"],
            registry=self.registry,
        )
        self.circuits_open = Gauge(
            "ali_upstream_circuits_open", "Targets that are not being tried for now.", registry=self.registry
        )
        self.cache = Counter(
            "ali_repeat_cache_total", "Look-ups of exact repeats (hit, miss).", ["result"], registry=self.registry
        )
        self.limiter_store = Gauge(
            "ali_limiter_store",
            "1 for the store that counts rate limits now, else 0.",
            ["store"],
            registry=self.registry,
        )
        self.limiter_failures = Counter(
            "ali_limiter_failures_total",
            "Times that a store of rate limits did not answer.",
            ["store"],
            registry=self.registry,
        )
        self.limit_refusals = Counter(
            "ali_limit_refusals_total",
            "Requests refused by a rate limit, by whose it was and what it counts.",
            ["scope", "kind"],
            registry=self.registry,
        )
        self.sign_ins = Counter(
            "ali_sign_ins_total",
            "Tries to sign in, by result (ok, refused, second_factor_required, too_many_attempts, unavailable).",
            ["result"],
            registry=self.registry,
        )
        self.ledger_pending = Gauge(
            "ali_ledger_pending_records", "Usage records not yet committed.", registry=self.registry
        )
        self.ledger_failures = Counter(
            "ali_ledger_failures_total", "Attempts to commit usage records that failed.", registry=self.registry
        )
        self.idempotent = Counter(
            "ali_idempotent_requests_total",
            "Requests with an Idempotency-Key, by result (executed, replayed, client_gone, or a refusal's code).",
            ["result"],
            registry=self.registry,
        )
        self.responses = Counter(
            "ali_responses_total",
            "Responses ended, by where they ran (foreground, background) and status (completed, incomplete, failed, "
            "cancelled).",
            ["where", "status"],
            registry=self.registry,
        )
        self.responses_orphaned = Counter(
            "ali_responses_orphaned_total",
            "Responses that a dead process left, by what became of them (run_again, closed).",
            ["result"],
            registry=self.registry,
        )
        self.mcp_calls = Counter(
            "ali_mcp_calls_total",
            "Calls of MCP servers' tools, by result (ok, error).",
            ["result"],
            registry=self.registry,
        )
        self.file_searches = Counter(
            "ali_file_searches_total",
            "Searches of vector stores within responses, by result (ok, failed).",
            ["result"],
            registry=self.registry,
        )
        self.file_search_passages = Counter(
            "ali_file_search_passages_total", "Passages that those searches found.", registry=self.registry
        )
        self.citations = Counter(
            "ali_citations_total",
            "Citations in answers: given, and dropped because they were of nothing that the model was shown.",
            ["result"],
            registry=self.registry,
        )
        self.batches = Counter(
            "ali_batches_total",
            "Batches ended, by dialect and status (completed, failed, expired, cancelled).",
            ["dialect", "status"],
            registry=self.registry,
        )
        self.batch_lines = Counter(
            "ali_batch_lines_total",
            "Requests of batches by what became of them (completed, failed), and how often one waited for a limit or "
            "was tried again (waited, tried_again).",
            ["dialect", "outcome"],
            registry=self.registry,
        )
        self.store_files = Counter(
            "ali_store_files_total",
            "Files of vector stores by what became of their reading (completed, linked to a document that was there, "
            "failed, dropped as nobody wanted it any more), and how often one was tried again (tried_again).",
            ["outcome"],
            registry=self.registry,
        )
        self.store_file_seconds = Histogram(
            "ali_store_file_duration_seconds",
            "From the claim of a vector store's file to the end of its reading.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.readings = Gauge(
            "ali_readings_in_progress", "Files of vector stores being read by this process.", registry=self.registry
        )
        self.embeddings = Counter(
            "ali_embeddings_total",
            "Passages that were to get a vector, by what became of it (embedded, cached, postponed).",
            ["result"],
            registry=self.registry,
        )
        self.search_degraded = Counter(
            "ali_search_degraded_total",
            "Searches that went on without a model that did not answer, by what it was for (vectors, reranking, "
            "rewriting).",
            ["part"],
            registry=self.registry,
        )
        self.searches = Histogram(
            "ali_search_duration_seconds",
            "Searches in vector stores, by part: candidates (from the index), vectors, ranking, reading (of what was "
            "found).",
            ["part"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.search_candidates = Histogram(
            "ali_search_candidates",
            "How many chunks the index found for a query, of those that a search looks at closer at most.",
            buckets=(0, 1, 5, 10, 25, 50, 75, 100),
            registry=self.registry,
        )
        self.index_merges = Counter(
            "ali_index_merges_total", "Merges of segments of vector stores' indexes.", registry=self.registry
        )
        self.file_bytes = Counter(
            "ali_file_bytes_total",
            "Bytes of files and parts that were taken, by whether they are stored for it or shared with a file of the "
            "same content (stored, shared).",
            ["result"],
            registry=self.registry,
        )
        self.budget_refusals = Counter(
            "ali_budget_refusals_total",
            "Requests that a hard budget refused, by what it is of and its period.",
            ["scope", "period"],
            registry=self.registry,
        )
        self.budget_thresholds = Counter(
            "ali_budget_thresholds_crossed_total",
            "Thresholds of budgets that were crossed.",
            ["scope", "period"],
            registry=self.registry,
        )
        self.budget_webhooks = Counter(
            "ali_budget_webhooks_total",
            "Attempts to tell a webhook of it (delivered, failed, given_up).",
            ["result"],
            registry=self.registry,
        )
        self.budget_orphans = Counter(
            "ali_budget_reservations_orphaned_total",
            "Reservations of dead processes that were let go.",
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
