-- What customers of each cohort had done when each of them was equally old: within so many days after the first purchase.
-- Only customers who are that old are counted.
-- inputs: customer_days, customer_summary
-- output: cohort_equal_age
-- grain: cohort
-- parameters: as_of DATE, within BIGINT, period VARCHAR
SELECT
  cohort,
  count(*) AS customers,
  sum(again) AS came_again,
  sum(revenue) AS revenue,
  sum(revenue * revenue) AS revenue_squared
FROM (
  SELECT
    CAST(date_trunc($period, summary.first_order_on) AS DATE) AS cohort,
    max(CASE WHEN days.day > summary.first_order_on THEN 1 ELSE 0 END) AS again,
    sum(CAST(days.revenue - days.returned_revenue AS DOUBLE)) AS revenue
  FROM customer_summary AS summary
  JOIN customer_days AS days
    ON days.customer_id = summary.customer_id AND days.day - summary.first_order_on <= $within
  WHERE $as_of - summary.first_order_on >= $within
  GROUP BY summary.customer_id, summary.first_order_on
) AS each_customer
GROUP BY cohort
ORDER BY cohort
