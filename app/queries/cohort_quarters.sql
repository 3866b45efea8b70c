-- Customers by the calendar quarter of their first purchase, followed quarter by quarter: how many bought in each. A
-- quarter without a purchase has no row.
-- inputs: customer_days, customer_summary
-- output: cohort_quarters
-- grain: cohort, age
-- parameters: as_of DATE
SELECT
  cohort,
  age,
  max(count(*)) OVER (PARTITION BY cohort) AS customers,
  count(*) AS active_customers,
  cohort + INTERVAL (3 * (age + 1)) MONTH - INTERVAL 1 DAY <= $as_of AS is_complete
FROM (
  SELECT DISTINCT
    days.customer_id,
    CAST(date_trunc('quarter', summary.first_order_on) AS DATE) AS cohort,
    date_diff('quarter', summary.first_order_on, days.day) AS age
  FROM customer_days AS days
  JOIN customer_summary AS summary ON summary.customer_id = days.customer_id
  WHERE days.day <= $as_of
) AS active
GROUP BY cohort, age
ORDER BY cohort, age
