-- Customer days with many times the usual revenue.
-- inputs: customer_days
-- output: check_results
-- grain: check_name
-- parameters: outlier_ratio DOUBLE default 100
-- severity: warning
-- message: A few such days decide the spend model: check them for typing errors and trade customers.
WITH usual AS (
    SELECT median(CAST(revenue - returned_revenue AS DOUBLE)) AS revenue
    FROM customer_days
    WHERE customer_days.revenue > returned_revenue
)
SELECT
    count(*) AS found,
    coalesce(CAST(max(customer_days.revenue - customer_days.returned_revenue) AS VARCHAR), '') AS example
FROM customer_days
CROSS JOIN usual
WHERE CAST(customer_days.revenue - customer_days.returned_revenue AS DOUBLE) > $outlier_ratio * usual.revenue
