-- Lines in a currency without a rate on or before their day.
-- inputs: rejected_order_lines
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: These lines are set aside. Add the missing days to exchange_rates.
SELECT
    CAST(coalesce(sum(lines), 0) AS BIGINT) AS found,
    coalesce(min(currency || ' on ' || CAST(CAST(ordered_at AS DATE) AS VARCHAR)), '') AS example
FROM rejected_order_lines
WHERE reason = 'missing_exchange_rate'
