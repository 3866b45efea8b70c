-- The first and the last purchase day.
-- inputs: customer_days
-- output: purchase_span
-- grain:
-- parameters: as_of DATE
SELECT min(day) AS first_day, max(day) AS last_day
FROM customer_days
WHERE day <= $as_of
