-- How long customers stay away after their n-th purchase day (1st, 2nd, 3rd, 5th, 10th, 20th), as a life table: how many
-- had not been back before a day and were watched until it, and how many came back on it. Each customer counts once in
-- each table; who has not been back by the as-of date is censored there. Kaplan-Meier's curve is the running product of
-- 1 - returned / customers.
-- inputs: customer_days
-- output: gap_life_table
-- grain: purchase, days
-- parameters: as_of DATE
WITH numbered AS (
    SELECT
        customer_id,
        day,
        row_number() OVER history AS purchase,
        lead(day) OVER history AS next_day
    FROM customer_days
    WHERE day <= $as_of
    WINDOW history AS (PARTITION BY customer_id ORDER BY day)
),
counted AS (
    SELECT
        purchase,
        date_diff('day', day, coalesce(next_day, $as_of)) AS days,
        count(*) AS leaving,
        count(next_day) AS returned
    FROM numbered
    WHERE purchase IN (1, 2, 3, 5, 10, 20)
    GROUP BY purchase, date_diff('day', day, coalesce(next_day, $as_of))
)
SELECT
    CAST(purchase AS BIGINT) AS purchase,
    CAST(days AS BIGINT) AS days,
    CAST(sum(leaving) OVER (
        PARTITION BY purchase ORDER BY days DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS BIGINT) AS customers,
    CAST(returned AS BIGINT) AS returned
FROM counted
