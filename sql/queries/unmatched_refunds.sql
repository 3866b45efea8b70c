-- Refund lines, or the part of one, that no earlier sale of the customer covers. revenue is in the line's currency; a
-- part of a refund in a foreign currency is cut to whole cents.
-- inputs: return_matches
-- output: unmatched_refunds
-- grain:
-- parameters: currency VARCHAR
WITH cents AS (
    SELECT
        *,
        amount - settled AS left_over,
        CAST(round(CAST(amount - settled AS DECIMAL(19, 2)) * 100) AS BIGINT) AS left_over_cents,
        CAST(round(CAST(amount AS DECIMAL(19, 2)) * 100) AS BIGINT) // nullif(lines, 0) AS line_cents,
        CAST(round(CAST(revenue AS DECIMAL(19, 2)) * 100) AS BIGINT) AS revenue_cents,
        CAST(round(CAST(amount AS DECIMAL(19, 2)) * 100) AS BIGINT) AS amount_cents
    FROM return_matches
    WHERE is_refund AND settled < amount
)
SELECT
    source_customer_id,
    ordered_at,
    currency,
    order_id,
    sku,
    CAST(
        CASE
            WHEN settled = 0 THEN revenue
            WHEN currency = $currency THEN -left_over
            ELSE CAST(
                trunc(CAST(revenue_cents AS DOUBLE) * left_over_cents / nullif(amount_cents, 0)) AS BIGINT
            ) * CAST(0.01 AS DECIMAL(3, 2))
        END AS DECIMAL(18, 2)
    ) AS revenue,
    CAST(-left_over AS DECIMAL(18, 2)) AS revenue_reporting,
    left_over_cents // nullif(line_cents, 0) AS whole_lines,
    (left_over_cents + line_cents - 1) // nullif(line_cents, 0) AS lines
FROM cents
