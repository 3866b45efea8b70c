-- Lens 4 of the audit: how cohorts compare. Customers by the quarter of their first purchase, quarter by quarter since.
-- inputs: cohorts
-- output: audit_all_cohorts
-- grain: cohort, age_quarters
-- parameters:
WITH numbered AS (
    SELECT
        CAST(year(cohort) * 4 + (month(cohort) - 1) // 3 AS BIGINT) AS quarter_number,
        CAST((year(cohort) * 12 + month(cohort) - 1 + age_months) // 3 AS BIGINT) AS active_quarter,
        cohort,
        age_months,
        customers,
        orders,
        revenue,
        is_complete
    FROM cohorts
),
quarters AS (
    SELECT
        quarter_number,
        active_quarter - quarter_number AS age_quarters,
        sum(CASE WHEN age_months = 0 THEN customers ELSE 0 END) AS acquired,
        sum(orders) AS orders,
        sum(revenue) AS revenue,
        min(CASE WHEN is_complete THEN 1 ELSE 0 END) = 1 AS is_complete
    FROM numbered
    GROUP BY quarter_number, active_quarter - quarter_number
),
sized AS (
    SELECT
        *,
        sum(acquired) OVER (PARTITION BY quarter_number) AS customers,
        sum(revenue) OVER (PARTITION BY quarter_number ORDER BY age_quarters ROWS UNBOUNDED PRECEDING)
            AS cumulative_revenue
    FROM quarters
)
SELECT
    make_date(
        CAST(quarter_number // 4 AS INTEGER), CAST(3 * (quarter_number % 4) + 1 AS INTEGER), 1
    ) AS cohort,
    age_quarters,
    CAST(customers AS BIGINT) AS customers,
    CAST(orders AS BIGINT) AS orders,
    CAST(revenue AS DECIMAL(18, 2)) AS revenue,
    CAST(cumulative_revenue AS DECIMAL(18, 2)) AS cumulative_revenue,
    CAST(orders AS DOUBLE) / nullif(CAST(customers AS DOUBLE), 0) AS orders_per_customer,
    CAST(revenue AS DOUBLE) / nullif(CAST(orders AS DOUBLE), 0) AS order_value,
    CAST(cumulative_revenue AS DOUBLE) / nullif(CAST(customers AS DOUBLE), 0) AS cumulative_revenue_per_customer,
    is_complete
FROM sized
