-- Money in = used + set aside by reason, to the cent, in each currency. A refund that is matched in part counts as a
-- used line; its part without a sale is set aside.
-- inputs: daily_money, unmatched_refunds
-- output: money_reconciliation
-- grain: disposition, reason, currency
-- parameters:
WITH judged AS (
    SELECT
        reason,
        currency,
        sum(lines) AS lines,
        sum(revenue) AS revenue,
        sum(revenue_reporting) AS revenue_reporting
    FROM daily_money
    GROUP BY reason, currency
),
unmatched AS (
    SELECT
        currency,
        sum(whole_lines) AS lines,
        sum(revenue) AS revenue,
        sum(revenue_reporting) AS revenue_reporting
    FROM unmatched_refunds
    GROUP BY currency
),
entries AS (
    SELECT 'in' AS disposition, '' AS reason, currency, lines, revenue, revenue_reporting FROM judged
    UNION ALL
    SELECT
        CASE WHEN reason = '' THEN 'used' ELSE 'set_aside' END AS disposition,
        reason, currency, lines, revenue, revenue_reporting
    FROM judged
    UNION ALL
    SELECT 'used' AS disposition, '' AS reason, currency, -lines, -revenue, -revenue_reporting FROM unmatched
    UNION ALL
    SELECT 'set_aside' AS disposition, 'return_without_sale' AS reason, currency, lines, revenue, revenue_reporting
    FROM unmatched
)
SELECT
    disposition,
    reason,
    currency,
    CAST(sum(lines) AS BIGINT) AS lines,
    CAST(sum(revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(revenue_reporting) AS DECIMAL(18, 2)) AS revenue_reporting
FROM entries
GROUP BY disposition, reason, currency
