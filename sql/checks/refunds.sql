-- Lines with negative revenue.
-- inputs: daily_money
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: info
-- message: They are matched to earlier sales of the same customer and product, or ignored where policy.refunds =
-- 'ignore'.
SELECT
    CAST(coalesce(sum(refund_lines), 0) AS BIGINT) AS found,
    coalesce('first on ' || CAST(min(day) AS VARCHAR), '') AS example
FROM daily_money
WHERE refund_lines > 0
