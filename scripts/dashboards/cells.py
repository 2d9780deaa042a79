"""Dashboards of what was measured."""

from __future__ import annotations

from typing import List

from parts import Json, client, dashboard, grain, lines, note, number, sql, table, target

# The cells that are chosen, in the time that is shown.
CHOSEN = """$__timeFilter(window_start_ts) AND client_id IN (${client:sqlstring})
    AND target IN (${target:sqlstring})"""
# A cell alone, at the chosen grain.
ONE = """FROM agg_${grain} WHERE $__timeFilter(window_start_ts) AND client_id = ${client:sqlstring}
    AND target = ${target:sqlstring} ORDER BY window_start_ts"""
STAGES = ("dns", "tcp", "tls", "ttfb")
ERRORS = ("dns", "tcp", "tls", "http", "throughput", "throughput_timeout", "parse")

ONE_CELL = (
    "**One client, one target.** Each point is a row whose percentiles come from merged sketches: choose the"
    " grain above, no percentile here is averaged. Over several cells ask the API:"
    " `GET /api/v1/scores?group_by=target`, or `qoe compare`."
)


def overview() -> Json:
    """Who measures what, and how it goes."""
    counted = f"FROM agg_1m WHERE {CHOSEN}"
    return dashboard(
        "qoe-overview",
        "QoE overview",
        "Every client and target: how much was measured, what failed, how long it took.",
        [client(all_of_them=True), target(all_of_them=True)],
        [
            number("Measurements", "In the time shown.", sql(f"SELECT sum(count_total) {counted}", "table"), "short"),
            number(
                "Failed",
                "Share of all measurements in the time shown.",
                sql(f"SELECT sum(count_error)::float8 / nullif(sum(count_total), 0) {counted}", "table"),
                "percentunit",
                0.01,
            ),
            number(
                "Cells",
                "A client and a target that it measured.",
                sql(f"SELECT count(DISTINCT (client_id, target)) {counted}", "table"),
                "short",
            ),
            number(
                "Set aside",
                "Measurements that a probe made while it was in trouble itself; they count in no curve.",
                sql(f"SELECT sum(count_troubled) {counted}", "table"),
                "short",
            ),
            number(
                "Open incidents",
                "Of the whole platform.",
                sql("SELECT count(*) FROM incidents WHERE end_ts IS NULL", "table"),
                "short",
                1,
            ),
            number(
                "Newest window",
                "How old the newest minute is that has measurements.",
                sql(f"SELECT extract(epoch FROM now() - max(window_start_ts)) {counted}", "table"),
                "s",
                300,
            ),
            table(
                "Client and target",
                "The worst minute's p95 is the p95 of one minute, the slowest of all shown. The newest hour's is of"
                " all measurements of that hour, merged.",
                """
                SELECT m.client_id AS "Client", m.target AS "Target", sum(m.count_total) AS "Measurements",
                    sum(m.count_error)::float8 / nullif(sum(m.count_total), 0) AS "Failed",
                    max(m.total_p95_ms) AS "Worst minute's p95",
                    (SELECT h.total_p50_ms FROM agg_1h h WHERE h.client_id = m.client_id AND h.target = m.target
                     ORDER BY h.window_start_ts DESC LIMIT 1) AS "Newest hour's p50",
                    (SELECT h.total_p95_ms FROM agg_1h h WHERE h.client_id = m.client_id AND h.target = m.target
                     ORDER BY h.window_start_ts DESC LIMIT 1) AS "Newest hour's p95",
                    max(m.window_start_ts) AS "Newest minute"
                FROM agg_1m m WHERE $__timeFilter(m.window_start_ts)
                    AND m.client_id IN (${client:sqlstring}) AND m.target IN (${target:sqlstring})
                GROUP BY m.client_id, m.target ORDER BY 4 DESC, 5 DESC NULLS LAST LIMIT 500""",
                {
                    "Failed": "percentunit",
                    "Worst minute's p95": "ms",
                    "Newest hour's p50": "ms",
                    "Newest hour's p95": "ms",
                },
                height=12,
            ),
            lines(
                "Failed by client",
                "Share of its measurements. Counts are added up, then divided.",
                [
                    sql(
                        f"""SELECT $__timeGroupAlias(window_start_ts, $__interval), client_id AS metric,
                            sum(count_error)::float8 / nullif(sum(count_total), 0) AS value
                            {counted} GROUP BY 1, 2 ORDER BY 1"""
                    )
                ],
                "percentunit",
            ),
            lines(
                "Measurements by client",
                "How many; a client that falls silent is a gap.",
                [
                    sql(
                        f"""SELECT $__timeGroupAlias(window_start_ts, $__interval), client_id AS metric,
                            sum(count_total) AS value {counted} GROUP BY 1, 2 ORDER BY 1"""
                    )
                ],
                "short",
            ),
        ],
    )


def stages() -> Json:
    """Where the time goes, for one cell."""

    def by_stage(percentile: str) -> List[Json]:
        columns = ", ".join(f'{stage}_{percentile}_ms AS "{stage}"' for stage in STAGES)
        return [sql(f"SELECT window_start_ts AS time, {columns} {ONE}")]

    total = ", ".join(f'total_{p}_ms AS "{p}"' for p in ("p50", "p95", "p99"))
    return dashboard(
        "qoe-stages",
        "Stage breakdown",
        "Where the time of a connection goes: DNS, TCP, TLS, first byte.",
        [client(), target(), grain()],
        [
            note(ONE_CELL),
            lines(
                "Total",
                "From the first query to the last byte. p95: one of twenty takes longer.",
                [sql(f"SELECT window_start_ts AS time, {total} {ONE}")],
                "ms",
                24,
            ),
            lines(
                "Stages, half of the measurements",
                "p50 of each stage. Percentiles of stages do not add up to that of the total, so they are not stacked.",
                by_stage("p50"),
                "ms",
            ),
            lines("Stages, one of twenty", "p95 of each stage.", by_stage("p95"), "ms"),
            *(
                lines(
                    f"{stage.upper()}",
                    "p50, p95 and p99 of this stage. A gap is a stage that did not happen.",
                    [
                        sql(
                            "SELECT window_start_ts AS time, "
                            + ", ".join(f'{stage}_{p}_ms AS "{p}"' for p in ("p50", "p95", "p99"))
                            + f" {ONE}"
                        )
                    ],
                    "ms",
                )
                for stage in STAGES
            ),
        ],
    )


def errors() -> Json:
    """What failed, and at which stage."""
    sums = ", ".join(f'sum(errors_{stage}) AS "{stage}"' for stage in ERRORS)
    return dashboard(
        "qoe-errors",
        "Errors by stage",
        "What failed, charged to the stage that failed.",
        [client(all_of_them=True), target(all_of_them=True)],
        [
            lines(
                "Failures by stage",
                "Counts, so that they add up over clients, targets and time.",
                [
                    sql(
                        f"""SELECT $__timeGroupAlias(window_start_ts, $__interval), {sums}
                            FROM agg_1m WHERE {CHOSEN} GROUP BY 1 ORDER BY 1"""
                    )
                ],
                "short",
                24,
                stacked=True,
            ),
            lines(
                "Failed by target",
                "Share of its measurements.",
                [
                    sql(
                        f"""SELECT $__timeGroupAlias(window_start_ts, $__interval), target AS metric,
                            sum(count_error)::float8 / nullif(sum(count_total), 0) AS value
                            FROM agg_1m WHERE {CHOSEN} GROUP BY 1, 2 ORDER BY 1"""
                    )
                ],
                "percentunit",
                24,
            ),
            table(
                "Where it fails",
                "Cells with failures, most first.",
                f"""SELECT client_id AS "Client", target AS "Target", sum(count_error) AS "Failures",
                    sum(count_error)::float8 / nullif(sum(count_total), 0) AS "Failed", {sums}
                    FROM agg_1m WHERE {CHOSEN} GROUP BY 1, 2 HAVING sum(count_error) > 0
                    ORDER BY 3 DESC LIMIT 200""",
                {"Failed": "percentunit"},
            ),
        ],
    )


def throughput() -> Json:
    """How much the line carries, for one cell."""
    columns = ", ".join(f'throughput_{p}_kbps * 1000 AS "{p}"' for p in ("p50", "p95", "p99"))
    return dashboard(
        "qoe-throughput",
        "Throughput",
        "How much the line of one client carries from one target.",
        [client(), target(), grain()],
        [
            note(ONE_CELL),
            lines(
                "Throughput",
                "Application bits a second of the fixed object. Higher is better: p50 is what half of the transfers"
                " reach or stay below.",
                [sql(f"SELECT window_start_ts AS time, {columns} {ONE}")],
                "bps",
                24,
            ),
            lines(
                "Transfers that failed",
                "Broken off, and out of time.",
                [
                    sql(
                        f"""SELECT window_start_ts AS time, errors_throughput AS "broken off",
                            errors_throughput_timeout AS "out of time" {ONE}"""
                    )
                ],
                "short",
                24,
                stacked=True,
            ),
        ],
    )
