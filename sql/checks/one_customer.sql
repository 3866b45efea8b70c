-- Whether all purchases belong to one customer.
-- inputs: customer_summary
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: No model can be fitted to one customer: check orders.columns.customer_id.
SELECT
    CAST(CASE WHEN count(*) = 1 THEN 1 ELSE 0 END AS BIGINT) AS found,
    CASE WHEN count(*) = 1 THEN CAST(sum(orders) AS VARCHAR) || ' orders' ELSE '' END AS example
FROM customer_summary
