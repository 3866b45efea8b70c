-- Orders by day up to the as-of date, with the usual band of the same weekday: from the tenth to the ninetieth percentile
-- of the twelve such days before. Days without an order have 0.
-- inputs: customer_days
-- output: data_days
-- grain: day
-- parameters: as_of DATE, shown_days BIGINT default 180
WITH ordered AS (
    SELECT day, sum(orders) AS orders, sum(lines) AS lines, sum(revenue) AS revenue
    FROM customer_days
    GROUP BY day
),
calendar AS (
    SELECT CAST(unnest(generate_series(
        (SELECT greatest(min(day), CAST($as_of AS DATE) - CAST($shown_days + 84 AS INTEGER)) FROM ordered),
        CAST($as_of AS DATE),
        INTERVAL 1 DAY
    )) AS DATE) AS day
),
filled AS (
    SELECT
        calendar.day,
        coalesce(ordered.orders, 0) AS orders,
        coalesce(ordered.lines, 0) AS lines,
        coalesce(ordered.revenue, 0) AS revenue
    FROM calendar
    LEFT JOIN ordered USING (day)
),
banded AS (
    SELECT
        day,
        orders,
        lines,
        revenue,
        quantile_cont(orders, 0.1) OVER same_weekday AS usual_low,
        quantile_cont(orders, 0.5) OVER same_weekday AS usual,
        quantile_cont(orders, 0.9) OVER same_weekday AS usual_high,
        count(*) OVER same_weekday AS compared_with
    FROM filled
    WINDOW same_weekday AS (
        PARTITION BY isodow(day) ORDER BY day ROWS BETWEEN 12 PRECEDING AND 1 PRECEDING
    )
)
SELECT
    day,
    CAST(orders AS BIGINT) AS orders,
    CAST(lines AS BIGINT) AS lines,
    revenue,
    CASE WHEN compared_with >= 4 THEN usual_low END AS usual_low,
    CASE WHEN compared_with >= 4 THEN usual END AS usual,
    CASE WHEN compared_with >= 4 THEN usual_high END AS usual_high
FROM banded
WHERE day > CAST($as_of AS DATE) - CAST($shown_days AS INTEGER)
ORDER BY day
