-- Lens 3 of the audit: how the buying of one cohort unfolds. Of the customers acquired in a quarter, how many came to
-- their n-th purchase day (up to the tenth), and how long after the one before.
-- inputs: customer_days, customer_summary
-- output: audit_one_cohort
-- grain: cohort, purchase
-- parameters: as_of DATE
WITH numbered AS (
    SELECT
        customer_id,
        day,
        row_number() OVER (PARTITION BY customer_id ORDER BY day) AS purchase,
        lag(day) OVER (PARTITION BY customer_id ORDER BY day) AS day_before,
        revenue - returned_revenue AS revenue
    FROM customer_days
    WHERE day <= $as_of
),
placed AS (
    SELECT
        CAST(year(customer_summary.first_order_on) * 4 + (month(customer_summary.first_order_on) - 1) // 3 AS BIGINT)
            AS quarter_number,
        numbered.purchase,
        CAST(date_diff('day', numbered.day_before, numbered.day) AS BIGINT) AS days,
        numbered.revenue
    FROM numbered
    JOIN customer_summary ON numbered.customer_id = customer_summary.customer_id
    WHERE numbered.purchase <= 10
),
counted AS (
    SELECT
        quarter_number,
        purchase,
        count(*) AS customers,
        median(CAST(days AS DOUBLE)) AS median_days,
        sum(revenue) AS revenue
    FROM placed
    GROUP BY quarter_number, purchase
)
SELECT
    make_date(
        CAST(quarter_number // 4 AS INTEGER), CAST(3 * (quarter_number % 4) + 1 AS INTEGER), 1
    ) AS cohort,
    CAST(purchase AS BIGINT) AS purchase,
    customers,
    CAST(customers AS DOUBLE) / nullif(CAST(max(customers) OVER (PARTITION BY quarter_number) AS DOUBLE), 0)
        AS share_of_cohort,
    CAST(customers AS DOUBLE)
        / nullif(CAST(lag(customers) OVER (PARTITION BY quarter_number ORDER BY purchase) AS DOUBLE), 0)
        AS share_of_previous,
    median_days AS days_since_previous,
    CAST(revenue AS DOUBLE) / nullif(CAST(customers AS DOUBLE), 0) AS revenue_per_purchase
FROM counted
