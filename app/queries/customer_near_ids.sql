-- The ids nearest to one that nobody has: the same but for case and spaces, those that begin or go on like it, those
-- that it goes on from, and those few edits away.
-- inputs: customer_summary
-- output: customer_near_ids
-- grain: customer_id
-- parameters: customer VARCHAR
SELECT customer_id, last_order_on
FROM (
  SELECT
    customer_id,
    last_order_on,
    lower(trim(customer_id)) AS plain,
    lower(trim($customer)) AS asked
  FROM customer_summary
  WHERE length(customer_id) <= 200
) AS ids
WHERE plain = asked
  OR starts_with(plain, asked)
  OR contains(plain, asked)
  OR (length(plain) >= 3 AND starts_with(asked, plain))
  OR (abs(length(plain) - length(asked)) <= 1 AND length(asked) <= 60 AND damerau_levenshtein(plain, asked) <= 2)
ORDER BY
  plain <> asked,
  NOT starts_with(plain, asked),
  NOT contains(plain, asked),
  CASE WHEN length(asked) <= 60 THEN damerau_levenshtein(plain, asked) END,
  length(plain),
  customer_id
LIMIT 8
