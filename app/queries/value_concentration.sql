-- How much of the value the best customers hold: customers ranked by value and cut into 200 steps of equal size,
-- once by what they are expected to bring and once by what they brought.
-- inputs: customers
-- output: value_concentration
-- grain: measure, step
-- parameters:
SELECT
  measure,
  CAST(ceil(200.0 * place / nullif(customers, 0)) AS BIGINT) AS step,
  count(*) AS customers,
  sum(amount) AS amount,
  min(amount) AS smallest
FROM (
  SELECT
    'expected' AS measure,
    customer_value AS amount,
    row_number() OVER (ORDER BY customer_value DESC) AS place,
    count(*) OVER () AS customers
  FROM customers
  UNION ALL
  SELECT
    'past' AS measure,
    CAST(revenue AS DOUBLE) AS amount,
    row_number() OVER (ORDER BY revenue DESC) AS place,
    count(*) OVER () AS customers
  FROM customers
) AS ranked
GROUP BY measure, step
ORDER BY measure, step
