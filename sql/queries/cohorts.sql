-- Customers by the calendar month of their first purchase, followed month by month until the as-of date; a month
-- without a purchase is a row of zeros.
-- inputs: customer_days, customer_summary
-- output: cohorts
-- grain: cohort, age_months
-- parameters: as_of DATE
WITH digits AS (
    SELECT digit FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS v (digit)
),
ages AS (
    SELECT CAST(ones.digit + 10 * tens.digit + 100 * hundreds.digit AS BIGINT) AS age_months
    FROM digits AS ones
    CROSS JOIN digits AS tens
    CROSS JOIN digits AS hundreds
),
-- months counted from year 0: whole numbers that subtract alike everywhere
months AS (
    SELECT
        customer_id,
        CAST(year(day) * 12 + month(day) - 1 AS BIGINT) AS month_number,
        sum(orders) AS orders,
        sum(revenue - returned_revenue) AS revenue
    FROM customer_days
    WHERE day <= $as_of
    GROUP BY customer_id, CAST(year(day) * 12 + month(day) - 1 AS BIGINT)
),
aged AS (
    SELECT
        CAST(year(first_order_on) * 12 + month(first_order_on) - 1 AS BIGINT) AS cohort_number,
        months.month_number,
        months.orders,
        months.revenue
    FROM months
    JOIN customer_summary ON months.customer_id = customer_summary.customer_id
),
activity AS (
    SELECT
        cohort_number,
        month_number - cohort_number AS age_months,
        count(*) AS active_customers,
        sum(orders) AS orders,
        sum(revenue) AS revenue
    FROM aged
    GROUP BY cohort_number, month_number - cohort_number
)
SELECT
    make_date(CAST(sizes.cohort_number // 12 AS INTEGER), CAST(sizes.cohort_number % 12 + 1 AS INTEGER), 1) AS cohort,
    ages.age_months,
    sizes.active_customers AS customers,
    coalesce(activity.active_customers, 0) AS active_customers,
    CAST(coalesce(activity.orders, 0) AS BIGINT) AS orders,
    CAST(coalesce(activity.revenue, 0) AS DECIMAL(18, 2)) AS revenue,
    sizes.cohort_number + ages.age_months < year($as_of) * 12 + month($as_of) - 1
        OR last_day($as_of) = $as_of AS is_complete
FROM activity AS sizes
JOIN ages ON sizes.cohort_number + ages.age_months <= year($as_of) * 12 + month($as_of) - 1
LEFT JOIN activity
    ON activity.cohort_number = sizes.cohort_number AND activity.age_months = ages.age_months
WHERE sizes.age_months = 0
