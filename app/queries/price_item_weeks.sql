-- The weeks of one item of a plan: price, what it sells, what is left, and what the neighbouring prices would bring.
-- inputs: markdown_plan
-- output: price_item_weeks
-- grain: week
-- parameters: plan VARCHAR, name VARCHAR
SELECT
  week,
  price,
  regular_price,
  discount,
  units,
  units_lower,
  units_upper,
  on_hand,
  revenue,
  margin,
  changed,
  elasticity,
  elasticity_lower,
  elasticity_upper,
  own_data_share,
  binding_rule,
  unit_worth,
  up_price,
  up_worth,
  up_forbidden_by,
  down_price,
  down_worth,
  down_forbidden_by,
  stock_rule,
  reason
FROM markdown_plan
WHERE plan = $plan AND item || CASE WHEN store_id = '' THEN '' ELSE '@' || store_id END = $name
ORDER BY week
