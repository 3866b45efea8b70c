-- What a customer of each monthly cohort has brought since the first purchase, month by month.
-- inputs: cohorts
-- output: cohort_value
-- grain: cohort, age
-- parameters:
SELECT
  cohort,
  age_months AS age,
  customers,
  sum(revenue) OVER (PARTITION BY cohort ORDER BY age_months) / nullif(customers, 0) AS revenue_per_customer,
  is_complete
FROM cohorts
ORDER BY cohort, age
