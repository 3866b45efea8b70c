-- Customers whose id is an e-mail address.
-- inputs: customer_summary
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: The address then stands in every table, list and export. Map its SHA-256 instead, in orders and wherever
-- else customers are named: customer_id = "sha256(lower(nullif(trim(email), '')))".
SELECT
    CAST(coalesce(sum(CASE WHEN customer_id LIKE '%_@_%._%' THEN 1 ELSE 0 END), 0) AS BIGINT) AS found,
    CASE
        WHEN sum(CASE WHEN customer_id LIKE '%_@_%._%' THEN 1 ELSE 0 END) > 0
            THEN 'among ' || CAST(count(*) AS VARCHAR) || ' customers'
        ELSE ''
    END AS example
FROM customer_summary
