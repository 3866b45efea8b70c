-- How the expected value is spread: customers in tenths by customer_value, the most valuable first.
-- inputs: customer_scores
-- output: value_concentration
-- grain: decile
-- parameters:
WITH ranked AS (
    SELECT
        -- whole cents: their sum is the same in any order
        CAST(round(coalesce(customer_value, 0) * 100) AS BIGINT) AS cents,
        ntile(10) OVER (ORDER BY customer_value DESC NULLS LAST, customer_id) AS decile
    FROM customer_scores
),
deciles AS (
    SELECT decile, count(*) AS customers, sum(cents) AS cents
    FROM ranked
    GROUP BY decile
)
SELECT
    CAST(decile AS BIGINT) AS decile,
    customers,
    CAST(cents * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)) AS customer_value,
    CAST(cents AS DOUBLE) / nullif(CAST(sum(cents) OVER () AS DOUBLE), 0) AS share,
    CAST(sum(cents) OVER (ORDER BY decile ROWS UNBOUNDED PRECEDING) AS DOUBLE)
        / nullif(CAST(sum(cents) OVER () AS DOUBLE), 0) AS cumulative_share
FROM deciles
