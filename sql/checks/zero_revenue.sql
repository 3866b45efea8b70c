-- Lines with a revenue of zero.
-- inputs: daily_money
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: info
-- message: They count as purchases unless policy.zero_revenue = 'set_aside': samples and gifts make customers look
-- more active than they are.
SELECT
    CAST(coalesce(sum(zero_lines), 0) AS BIGINT) AS found,
    coalesce('first on ' || CAST(min(day) AS VARCHAR), '') AS example
FROM daily_money
WHERE zero_lines > 0
