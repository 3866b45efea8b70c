-- Lines without a customer id.
-- inputs: rejected_order_lines
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: Lines without a customer are set aside. To make each guest order a customer of its own, set policy.guests
-- = 'one_customer_per_order'.
SELECT
    CAST(coalesce(sum(lines), 0) AS BIGINT) AS found,
    coalesce(min(coalesce('order ' || order_id || ' on ', 'a line of ') || CAST(CAST(ordered_at AS DATE) AS VARCHAR)), '') AS example
FROM rejected_order_lines
WHERE reason = 'missing_customer'
