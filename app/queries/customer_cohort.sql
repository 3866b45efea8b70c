-- The cohort of one month in the last month that it was wholly seen in.
-- inputs: cohorts
-- output: customer_cohort
-- grain: cohort
-- parameters: cohort DATE
SELECT cohort, customers, age_months, active_customers, active_customers / nullif(customers, 0) AS active_share
FROM cohorts
WHERE cohort = $cohort AND is_complete
ORDER BY age_months DESC
LIMIT 1
