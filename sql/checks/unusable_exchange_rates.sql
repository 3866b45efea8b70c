-- Rates that are not positive, or several for one currency and day.
-- inputs: exchange_rates
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: blocking
-- message: One positive rate a currency and day: mend or remove these rows.
WITH days AS (
    SELECT currency, day
    FROM exchange_rates
    GROUP BY currency, day
    HAVING count(DISTINCT rate) <> 1 OR min(rate) <= 0 OR count(rate) <> count(*)
)
SELECT count(*) AS found, coalesce(min(currency || ' on ' || CAST(day AS VARCHAR)), '') AS example
FROM days
