-- One row per interval between purchase days: it starts on a purchase day and ends on the customer's next one, an event,
-- or on the as-of date, censored. The features are what was known at the end of the starting day: purchases and money as
-- they were sold, whatever came back later. What needs an earlier purchase is NULL at the first. $intervals = 'open' gives
-- only each customer's last; $ids_below picks customers, never intervals, by the first four hexadecimal digits of their
-- id's md5: 'g' is all, '4000' a quarter.
-- inputs: customer_days
-- output: order_gaps
-- grain: customer_id, starts
-- parameters: as_of DATE, intervals VARCHAR default 'all', ids_below VARCHAR default 'g'
WITH days AS (
    SELECT
        customer_id,
        day,
        date_diff('day', day, $as_of) AS days_before,
        orders,
        revenue,
        discount
    FROM customer_days
    WHERE day <= $as_of AND substr(md5(customer_id), 1, 4) < $ids_below
),
walked AS (
    SELECT
        customer_id,
        day,
        days_before,
        orders,
        revenue,
        (row_number() OVER history) - 1 AS frequency,
        (max(days_before) OVER history) - days_before AS tenure,
        (lag(days_before) OVER history) - days_before AS previous_gap,
        (lag(days_before, 2) OVER history) - (lag(days_before) OVER history) AS gap_before_previous,
        days_before - (lead(days_before) OVER history) AS duration,
        lead(day) OVER history AS next_day,
        sum(revenue) OVER history AS revenue_so_far,
        sum(discount) OVER history AS discount_so_far,
        -- recent days have a smaller days_before
        count(*) OVER (
            PARTITION BY customer_id ORDER BY days_before RANGE BETWEEN CURRENT ROW AND 27 FOLLOWING
        ) AS purchases_28,
        count(*) OVER (
            PARTITION BY customer_id ORDER BY days_before RANGE BETWEEN CURRENT ROW AND 90 FOLLOWING
        ) AS purchases_91
    FROM days
    WINDOW history AS (PARTITION BY customer_id ORDER BY day)
),
regular AS (
    SELECT
        *,
        max(previous_gap) OVER history AS longest_gap,
        sum(previous_gap * previous_gap) OVER history AS squared_gaps
    FROM walked
    WINDOW history AS (PARTITION BY customer_id ORDER BY day)
)
SELECT
    customer_id,
    CAST(frequency + 1 AS BIGINT) AS gap_number,
    day AS starts,
    coalesce(next_day, $as_of) AS ends,
    CAST(coalesce(duration, days_before) AS BIGINT) AS duration,
    next_day IS NOT NULL AS event,
    CAST(frequency AS BIGINT) AS frequency,
    CAST(tenure AS BIGINT) AS tenure,
    CAST(previous_gap AS BIGINT) AS previous_gap,
    CAST(gap_before_previous AS BIGINT) AS gap_before_previous,
    CAST(tenure AS DOUBLE) / nullif(frequency, 0) AS mean_gap,
    CAST(longest_gap AS BIGINT) AS longest_gap,
    CASE
        WHEN frequency > 1
            THEN sqrt(
                greatest(CAST(frequency * squared_gaps - tenure * tenure AS DOUBLE), 0)
                / nullif(CAST(frequency * (frequency - 1) AS DOUBLE), 0)
            ) / nullif(CAST(tenure AS DOUBLE) / nullif(frequency, 0), 0)
    END AS gap_variation,
    CAST(purchases_28 AS BIGINT) AS purchases_28,
    CAST(purchases_91 AS BIGINT) AS purchases_91,
    CAST(revenue AS DOUBLE) AS basket_value,
    CAST(revenue_so_far AS DOUBLE) / nullif(frequency + 1, 0) AS mean_value,
    CAST(discount_so_far AS DOUBLE) / nullif(CAST(discount_so_far + revenue_so_far AS DOUBLE), 0) AS discount_share,
    CAST(orders AS BIGINT) AS orders,
    CAST(month(day) AS BIGINT) AS month,
    CAST(date_diff('day', CAST(date_trunc('year', day) AS DATE), day) AS BIGINT) AS day_of_year
FROM regular
WHERE $intervals = 'all' OR next_day IS NULL
