-- One item of a plan, as the grid has it.
-- inputs: price_items
-- output: price_item
-- grain: name
-- parameters: plan VARCHAR, name VARCHAR
SELECT
  name,
  item,
  store_id,
  status,
  category,
  verdict,
  price_before,
  stock_rule
FROM price_items
WHERE plan = $plan AND name = $name
