-- The exchange rate that counts on each day with an order in a foreign currency: the latest on or before the day.
-- inputs: order_lines, exchange_rates
-- output: daily_rates
-- grain: currency, day
-- parameters:
WITH rates AS (
    SELECT currency, day, rate, lead(day) OVER (PARTITION BY currency ORDER BY day) AS next_day
    FROM (
        SELECT currency, day, min(rate) AS rate
        FROM exchange_rates
        WHERE exchange_rates.rate > 0
        GROUP BY currency, day
    ) AS one_a_day
),
wanted AS (
    SELECT DISTINCT order_lines.currency, CAST(order_lines.ordered_at AS DATE) AS day
    FROM order_lines
    SEMI JOIN exchange_rates ON order_lines.currency = exchange_rates.currency
)
SELECT wanted.currency, wanted.day, rates.rate
FROM wanted
JOIN rates
    ON wanted.currency = rates.currency
    AND wanted.day >= rates.day
    AND (rates.next_day IS NULL OR wanted.day < rates.next_day)
