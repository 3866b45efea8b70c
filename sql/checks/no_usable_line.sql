-- Whether any sale counts at all.
-- inputs: customer_days
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: blocking
-- message: Nothing is left to work with: see money_reconciliation for why the lines were set aside, and the mapping
-- in [orders].
SELECT
    CAST(CASE WHEN count(*) = 0 THEN 1 ELSE 0 END AS BIGINT) AS found,
    CASE WHEN count(*) = 0 THEN 'no customer has a purchase' ELSE '' END AS example
FROM customer_days
