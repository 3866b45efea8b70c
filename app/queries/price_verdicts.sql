-- How many items of a plan are planned, and how many are not for which kind of reason.
-- inputs: price_items
-- output: price_verdicts
-- grain: kind
-- parameters: plan VARCHAR
SELECT
  status,
  trim(split_part(split_part(verdict, ':', 1), '(', 1)) AS kind,
  count(*) AS items
FROM price_items
WHERE plan = $plan
GROUP BY status, kind
ORDER BY status DESC, items DESC, kind
