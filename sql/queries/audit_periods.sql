-- The periods that the audit of the customer base compares: equal windows that end with the as-of date and go back to
-- the first purchase: audit_days each, or 26, 13 or 4 weeks, the longest of which the data hold two.
-- inputs: customer_days
-- output: audit_periods
-- grain: period
-- parameters: as_of DATE, audit_days BIGINT default 364
WITH span AS (
    SELECT CAST(date_diff('day', min(day), $as_of) + 1 AS BIGINT) AS days
    FROM customer_days
    WHERE day <= $as_of
),
chosen AS (
    SELECT
        days,
        CAST(
            CASE
                WHEN days >= 2 * $audit_days THEN $audit_days
                WHEN days >= 2 * 182 THEN 182
                WHEN days >= 2 * 91 THEN 91
                ELSE 28
            END AS BIGINT
        ) AS length
    FROM span
),
digits AS (
    SELECT digit FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS v (digit)
),
numbers AS (
    SELECT CAST(ones.digit + 10 * tens.digit AS BIGINT) AS period
    FROM digits AS ones
    CROSS JOIN digits AS tens
)
SELECT
    numbers.period,
    chosen.length AS days,
    CAST($as_of - CAST((numbers.period + 1) * chosen.length - 1 AS INTEGER) AS DATE) AS starts_on,
    CAST($as_of - CAST(numbers.period * chosen.length AS INTEGER) AS DATE) AS ends_on,
    (numbers.period + 1) * chosen.length <= chosen.days AS is_complete
FROM numbers
CROSS JOIN chosen
WHERE numbers.period * chosen.length < chosen.days
