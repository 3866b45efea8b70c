-- The planned item that brings most: the one that is shown until another is chosen.
-- inputs: price_items
-- output: price_first_item
-- grain: name
-- parameters: plan VARCHAR
SELECT name
FROM price_items
WHERE plan = $plan
ORDER BY status DESC, revenue DESC NULLS LAST, name
LIMIT 1
