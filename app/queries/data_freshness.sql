-- How fresh the lines are: the first and last day that was read, how many days between them hold no line at all, and the
-- last such day.
-- inputs: daily_money
-- output: data_freshness
-- grain:
-- parameters: as_of DATE
WITH days AS (
    SELECT day, sum(lines) AS lines
    FROM daily_money
    WHERE day IS NOT NULL
    GROUP BY day
),
within AS (
    SELECT day, lines FROM days WHERE day <= $as_of
),
gaps AS (
    SELECT day, date_diff('day', lag(day) OVER (ORDER BY day), day) - 1 AS empty_days FROM within
)
SELECT
    (SELECT min(day) FROM within) AS first_day,
    (SELECT max(day) FROM within) AS last_day,
    (SELECT max(day) FROM days) AS latest_line,
    CAST((SELECT coalesce(sum(lines), 0) FROM within) AS BIGINT) AS lines,
    CAST((SELECT count(*) FROM within) AS BIGINT) AS days_with_lines,
    CAST((SELECT coalesce(sum(empty_days), 0) FROM gaps) AS BIGINT) AS days_without_lines,
    CAST((SELECT max(empty_days) FROM gaps) AS BIGINT) AS longest_gap,
    (SELECT arg_max(day, empty_days) FROM gaps) AS longest_gap_before
