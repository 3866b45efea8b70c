-- Money and lines by day, verdict and currency: what the reconciliation and the checks of the input add up.
-- Days that an earlier snapshot has counted come from previous_daily_money, which a full build has empty.
-- inputs: judged_order_lines, previous_daily_money
-- output: daily_money
-- grain: day, reason, currency
-- parameters:
WITH counted AS (
    SELECT
        day,
        reason,
        currency,
        count(*) AS lines,
        count(*) FILTER (WHERE revenue < 0) AS refund_lines,
        count(*) FILTER (WHERE revenue = 0) AS zero_lines,
        coalesce(sum(revenue), 0) AS revenue,
        sum(revenue_reporting) AS revenue_reporting
    FROM judged_order_lines
    GROUP BY day, reason, currency
    UNION ALL
    SELECT day, reason, currency, lines, refund_lines, zero_lines, revenue, revenue_reporting
    FROM previous_daily_money
)
SELECT
    day,
    reason,
    currency,
    CAST(sum(lines) AS BIGINT) AS lines,
    CAST(sum(refund_lines) AS BIGINT) AS refund_lines,
    CAST(sum(zero_lines) AS BIGINT) AS zero_lines,
    CAST(sum(revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(revenue_reporting) AS DECIMAL(18, 2)) AS revenue_reporting
FROM counted
GROUP BY day, reason, currency
