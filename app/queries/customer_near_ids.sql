-- The ids nearest to one that nobody has: the same but for case, spaces and leading zeros, those that begin or go on
-- like it, those that it goes on from, and those few edits away.
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
    lower(trim($customer)) AS asked,
    regexp_replace(lower(trim(customer_id)), '(^|[^0-9])0+', '\1', 'g') AS unpadded,
    regexp_replace(lower(trim($customer)), '(^|[^0-9])0+', '\1', 'g') AS asked_unpadded
  FROM customer_summary
  WHERE length(customer_id) <= 200
) AS ids
WHERE plain = asked
  OR unpadded = asked_unpadded
  OR contains(plain, asked)
  OR (length(plain) >= 3 AND starts_with(asked, plain))
  OR (abs(length(plain) - length(asked)) <= 1 AND length(asked) <= 60 AND damerau_levenshtein(plain, asked) <= 2)
ORDER BY
  plain <> asked,
  unpadded <> asked_unpadded,
  NOT starts_with(plain, asked),
  NOT contains(plain, asked),
  CASE WHEN length(asked) <= 60 THEN damerau_levenshtein(plain, asked) END,
  length(plain),
  customer_id
LIMIT 8
