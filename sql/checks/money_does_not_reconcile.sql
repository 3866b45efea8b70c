-- Currencies whose money in is not used plus set aside, or whose used money is not that of customer_days.
-- inputs: money_reconciliation, customer_days, return_lines
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: blocking
-- message: A defect: nothing was published. Please report it with the reconciliation.
WITH by_currency AS (
    SELECT
        currency,
        sum(CASE WHEN disposition = 'in' THEN revenue ELSE -revenue END) AS difference,
        sum(CASE WHEN disposition = 'in' THEN lines ELSE -lines END) AS difference_lines
    FROM money_reconciliation
    GROUP BY currency
),
used AS (
    SELECT coalesce(sum(revenue_reporting), 0) AS revenue FROM money_reconciliation WHERE disposition = 'used'
),
sold AS (
    SELECT coalesce(sum(revenue), 0) AS revenue FROM customer_days
),
refunded AS (
    SELECT coalesce(sum(matched_revenue), 0) AS revenue FROM return_lines
),
differences AS (
    SELECT 'in ' || currency || ': ' || CAST(CAST(difference AS DECIMAL(18, 2)) AS VARCHAR) AS example
    FROM by_currency
    WHERE difference <> 0 OR difference_lines <> 0
    UNION ALL
    SELECT
        'customer_days: ' || CAST(CAST(used.revenue - sold.revenue + refunded.revenue AS DECIMAL(18, 2)) AS VARCHAR)
            AS example
    FROM used
    CROSS JOIN sold
    CROSS JOIN refunded
    WHERE used.revenue <> sold.revenue - refunded.revenue
)
SELECT count(*) AS found, coalesce(min(example), '') AS example
FROM differences
