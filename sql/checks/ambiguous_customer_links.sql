-- Old ids that are linked to several customers.
-- inputs: customer_links
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: blocking
-- message: One old id can belong to one customer only: keep one of its rows.
WITH doubled AS (
    SELECT old_id
    FROM customer_links
    GROUP BY old_id
    HAVING count(DISTINCT customer_id) > 1
)
SELECT count(*) AS found, coalesce(min(old_id), '') AS example
FROM doubled
