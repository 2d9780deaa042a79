"""Dashboards of what was found: incidents, the fleet, the platform itself."""

from __future__ import annotations

from parts import Json, dashboard, lines, number, panel, promql, sql, table

SHOWN = "onset_ts <= $__timeTo() AND coalesce(end_ts, now()) >= $__timeFrom()"


def incidents() -> Json:
    """What was wrong, for whom, since when."""
    return dashboard(
        "qoe-incidents",
        "Incidents",
        "What was slow or out, for whom, since when, and why. `qoe explain ID` has the numbers.",
        [],
        [
            number(
                "Open now", "", sql("SELECT count(*) FROM incidents WHERE end_ts IS NULL", "table"), "short", 1, 6
            ),
            number(
                "In the time shown", "", sql(f"SELECT count(*) FROM incidents WHERE {SHOWN}", "table"), "short", None, 6
            ),
            number(
                "Longest",
                "From its onset to its end, or until now.",
                sql(
                    f"SELECT extract(epoch FROM max(coalesce(end_ts, now()) - onset_ts)) FROM incidents WHERE {SHOWN}",
                    "table",
                ),
                "s",
                None,
                6,
            ),
            number(
                "Told after",
                "The longest time from an onset until it was told.",
                sql(f"SELECT extract(epoch FROM max(told_ts - onset_ts)) FROM incidents WHERE {SHOWN}", "table"),
                "s",
                None,
                6,
            ),
            table(
                "Incidents",
                "Open ones first.",
                f"""SELECT id AS "Id", CASE WHEN end_ts IS NULL THEN 'open' ELSE 'over' END AS "State",
                    severity AS "Severity", label AS "Label", scope_type AS "Scope", scope_id AS "Of",
                    onset_ts AS "Since", end_ts AS "Until", body->>'text' AS "What"
                    FROM incidents WHERE {SHOWN} ORDER BY end_ts IS NOT NULL, onset_ts DESC LIMIT 500""",
                {},
                height=12,
            ),
            lines(
                "Begun by label",
                "How many began in a stretch.",
                [
                    sql(
                        """SELECT $__timeGroupAlias(onset_ts, $__interval), label AS metric, count(*) AS value
                           FROM incidents WHERE $__timeFilter(onset_ts) GROUP BY 1, 2 ORDER BY 1"""
                    )
                ],
                "short",
                24,
                stacked=True,
            ),
            table(
                "What grows slowly",
                "Noted once a day and cell; no incident.",
                """SELECT noted_ts AS "Noted", client_id AS "Client", target AS "Target", signal AS "Signal",
                   since_ts AS "Since", percent_per_hour AS "Per hour"
                   FROM drifts WHERE $__timeFilter(noted_ts) ORDER BY noted_ts DESC LIMIT 200""",
                {"Per hour": "percent"},
            ),
        ],
    )


def fleet() -> Json:
    """Whether probes send."""

    def probes(metric: str) -> str:
        return f"sum(rate(qoe_probe_{metric}_total[$__rate_interval]))"

    return dashboard(
        "qoe-fleet",
        "Fleet health",
        "Whether probes send, what they lost, and how they fare themselves.",
        [],
        [
            number("Clients", "Known to the store.", promql("max(qoe_fleet_clients)", instant=True), "short", None, 6),
            number(
                "Silent",
                "Seen within the last day and not in the last five minutes.",
                promql("max(qoe_fleet_silent_clients)", instant=True),
                "short",
                1,
                6,
            ),
            number(
                "Lost",
                "Measurements that probes told of as lost, in the time shown.",
                sql("SELECT sum(count) FROM probe_gaps WHERE $__timeFilter(at_ts)", "table"),
                "short",
                1,
                6,
            ),
            number(
                "Set aside",
                "Measurements made while the probe was in trouble, in the time shown.",
                sql("SELECT sum(count_troubled) FROM agg_1m WHERE $__timeFilter(window_start_ts)", "table"),
                "short",
                None,
                6,
            ),
            table(
                "Clients",
                "Longest silent first. When a client was seen last is kept to ten minutes.",
                """SELECT client_id AS "Client", first_seen AS "First seen", last_seen AS "Last seen",
                   extract(epoch FROM now() - last_seen) AS "Ago" FROM clients ORDER BY last_seen LIMIT 500""",
                {"Ago": "s"},
                12,
            ),
            table(
                "Gaps",
                "What probes had to lose, as they told afterwards.",
                """SELECT at_ts AS "Told", client_id AS "Client", count AS "Measurements", first_ts AS "From",
                   last_ts AS "To" FROM probe_gaps WHERE $__timeFilter(at_ts) ORDER BY at_ts DESC LIMIT 200""",
                {},
                12,
            ),
            lines(
                "Measurements of scraped probes",
                "A second: made, of these while the probe was in trouble itself, and left out.",
                [
                    promql(probes("measurements"), "made"),
                    promql(probes("troubled_measurements"), "in trouble"),
                    promql(probes("missed_ticks"), "left out"),
                ],
                "ops",
            ),
            lines(
                "Waiting at scraped probes",
                "Events in their queues.",
                [promql("qoe_probe_waiting_events", "{{instance}}")],
                "short",
            ),
            lines(
                "Set aside by client",
                "Measurements made while the probe was in trouble.",
                [
                    sql(
                        """SELECT $__timeGroupAlias(window_start_ts, $__interval), client_id AS metric,
                           sum(count_troubled) AS value FROM agg_1m
                           WHERE $__timeFilter(window_start_ts) AND count_troubled > 0
                           GROUP BY 1, 2 ORDER BY 1"""
                    )
                ],
                "short",
            ),
            lines(
                "Shipping of scraped probes",
                "Events a second that a server took, that it refused, and that were lost.",
                [
                    promql(probes("shipped_events"), "shipped"),
                    promql(probes("refused_events"), "refused"),
                    promql(probes("lost_events"), "lost"),
                ],
                "ops",
            ),
        ],
    )


def platform() -> Json:
    """Whether the platform keeps what it promises."""

    def rate(metric: str, by: str = "") -> str:
        return f"sum{by}(rate({metric}[$__rate_interval]))"

    def quantile(q: float, metric: str, by: str = "le") -> str:
        return f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket[$__rate_interval])))"

    late = "qoe_aggregator_delay_since_receipt_seconds"
    heat = panel(
        "heatmap",
        "From receipt into the window",
        "How many events a second took how long. The objective: 99 % within 10 s.",
        [promql(f"sum by (le) (rate({late}_bucket[$__rate_interval]))", "{{le}}", heatmap=True)],
        "s",
        12,
        options={"calculate": False, "yAxis": {"unit": "s"}, "color": {"scheme": "Viridis", "mode": "scheme"}},
    )
    return dashboard(
        "qoe-platform",
        "Platform health",
        "The objective and its budget, what waits, what is lost, and what each role needs. docs/operations.md",
        [],
        [
            number(
                "Late within the hour",
                "Share of events that took longer than 10 s; the objective is 1 %.",
                promql("qoe:late_events:ratio_rate1h", instant=True),
                "percentunit",
                0.01,
            ),
            number(
                "Budget burn",
                "How many times faster than the budget allows, within the hour. 1 uses it up in 30 days.",
                promql("qoe:late_events:ratio_rate1h / 0.01", instant=True),
                "none",
                1,
            ),
            number(
                "On the bus", "Messages not counted yet.", promql("max(qoe_bus_lag_messages)", instant=True), "short", 1000
            ),
            number(
                "Dead letters",
                "What could not be counted and was laid aside, in the time shown.",
                promql("sum(increase(qoe_aggregator_dead_lettered_events_total[$__range]))", instant=True),
                "short",
                1,
            ),
            number(
                "Conservation gap",
                "Accepted less counted, duplicate, put aside and pending, over an hour; estimated.",
                promql("qoe:conservation_gap:events", instant=True),
                "short",
                50,
            ),
            number("Roles", "That answer.", promql('sum(up{job="qoe"})', instant=True), "short"),
            lines(
                "Budget burn",
                "1 uses the month's budget up in 30 days; 14.4 for an hour, or 6 for six hours, pages.",
                [
                    promql(f"qoe:late_events:ratio_rate{window} / 0.01", window)
                    for window in ("5m", "1h", "6h", "3d")
                ],
                "none",
            ),
            heat,
            lines(
                "Events",
                "A second. What is accepted comes out as applied or duplicate.",
                [
                    promql(rate("qoe_ingest_events_total", " by (result) "), "ingest: {{result}}"),
                    promql(rate("qoe_aggregator_applied_events_total"), "applied"),
                    promql(rate("qoe_aggregator_duplicate_events_total"), "known already"),
                    promql(rate("qoe_aggregator_late_events_total"), "late"),
                ],
                "ops",
            ),
            lines(
                "What waits",
                "Messages on the bus, messages handed out and not acknowledged, events in aggregators.",
                [
                    promql("max(qoe_bus_lag_messages)", "on the bus"),
                    promql("max(qoe_bus_ack_pending_messages)", "handed out"),
                    promql("sum(qoe_aggregator_pending_events)", "in aggregators"),
                ],
                "short",
            ),
            lines(
                "Conservation",
                "Over an hour each: 0 but for estimates. The exact one is there where all is one program.",
                [
                    promql("qoe:conservation_gap:events", "estimated"),
                    promql("qoe_conservation_gap_events", "exact"),
                ],
                "short",
            ),
            lines(
                "Lost ways",
                "A second.",
                [
                    promql(rate("qoe_aggregator_dead_lettered_events_total"), "laid aside"),
                    promql(rate("qoe_bus_missing_messages_total"), "gone from the stream"),
                    promql(rate("qoe_bus_redelivered_messages_total"), "delivered again"),
                    promql(rate("qoe_bus_publish_failures_total"), "not published"),
                    promql(rate("qoe_store_failures_total", " by (role) "), "store: {{role}}"),
                ],
                "ops",
            ),
            lines(
                "Ingest, time of an answer",
                "Merged over all of them.",
                [
                    promql(quantile(q, "qoe_ingest_request_duration_seconds"), f"p{round(q * 100)}")
                    for q in (0.5, 0.95, 0.99)
                ],
                "s",
            ),
            lines(
                "Answers of ingest",
                "A second, by status.",
                [
                    promql(rate("qoe_ingest_requests_total", " by (code) "), "{{code}}"),
                    promql(rate("qoe_ingest_auth_failures_total", " by (reason) "), "refused: {{reason}}"),
                    promql(rate("qoe_ingest_rate_limited_total"), "too many"),
                ],
                "reqps",
                stacked=True,
            ),
            lines(
                "Store, p95 of a transaction",
                "By what it does.",
                [promql(quantile(0.95, "qoe_store_transaction_duration_seconds", "le, operation"), "{{operation}}")],
                "s",
            ),
            lines(
                "Tables",
                "Bytes with their indexes.",
                [promql("max by (table) (qoe_store_table_bytes)", "{{table}}")],
                "bytes",
            ),
            lines(
                "Diagnoser",
                "How far it is behind, and the time of a step.",
                [
                    promql("max(qoe_diagnoser_lag_seconds)", "behind"),
                    promql(quantile(0.95, "qoe_diagnoser_step_duration_seconds"), "step, p95"),
                ],
                "s",
            ),
            lines(
                "Who leads",
                "1 leads, 0 waits; the sum is 1.",
                [promql("qoe_diagnoser_leads", "{{instance}}")],
                "short",
            ),
            lines(
                "Messages about incidents",
                "Within the hour, by how sending them went.",
                [promql("sum by (result) (increase(qoe_alert_messages_total[1h]))", "{{result}}")],
                "short",
            ),
            lines(
                "Memory",
                "Resident, by role.",
                [promql('process_resident_memory_bytes{job="qoe"}', "{{role}} {{instance}}")],
                "bytes",
            ),
            lines(
                "Processors",
                "Cores in use, by role.",
                [promql('rate(process_cpu_seconds_total{job="qoe"}[$__rate_interval])', "{{role}} {{instance}}")],
                "none",
            ),
            lines(
                "Connections",
                "To the database, and files that are open, sockets among them.",
                [
                    promql("sum by (role) (qoe_store_connections)", "database: {{role}}"),
                    promql('process_open_fds{job="qoe"}', "files: {{role}}"),
                ],
                "short",
            ),
        ],
    )
