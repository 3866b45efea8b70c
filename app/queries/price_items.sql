-- One row per item of a markdown plan (and store, where these are apart): where it stands, what is advised, what that
-- sells, how sure its price response is, and why it is not planned where it is not.
-- Read once per snapshot, in the order of plan and name, which breaks the ties of every sort.
-- inputs: markdown_plan, markdown_plans, elasticities, planned_items
-- output: price_items
-- grain: plan, name
-- parameters:
SELECT
  week.name,
  week.plan,
  week.item,
  week.store_id,
  week.status,
  response.category,
  week.regular_price,
  coalesce(CAST(start.regular_price * (1 - coalesce(start.current_discount, 0)) AS DECIMAL(18, 2)), week.first_price)
    AS price_before,
  week.path,
  week.last_price,
  week.last_price / nullif(
    coalesce(CAST(start.regular_price * (1 - coalesce(start.current_discount, 0)) AS DECIMAL(18, 2)), week.first_price), 0
  ) - 1 AS price_change,
  week.markdowns,
  week.units,
  week.on_hand,
  week.units / nullif(week.on_hand, 0) AS sold_share,
  week.revenue,
  coalesce(week.elasticity, response.elasticity) AS elasticity,
  coalesce(week.elasticity_lower, response.lower) AS elasticity_lower,
  coalesce(week.elasticity_upper, response.upper) AS elasticity_upper,
  coalesce(week.own_data_share, response.own_data_share) AS own_data_share,
  CASE WHEN week.reason = '' THEN 'accepted' ELSE week.reason END AS verdict,
  week.binding_rule,
  week.unit_worth,
  week.stock_rule
FROM (
  SELECT
    plan,
    item,
    store_id,
    item || CASE WHEN store_id = '' THEN '' ELSE '@' || store_id END AS name,
    CASE WHEN min(reason) = '' THEN 'planned' ELSE 'kept' END AS status,
    min(reason) AS reason,
    min(regular_price) AS regular_price,
    arg_min(price, week) AS first_price,
    arg_max(price, week) AS last_price,
    string_agg(
      CAST(price AS VARCHAR) || CASE WHEN number = 1 THEN '' ELSE ' from week ' || number END, ', then ' ORDER BY week
    ) FILTER (WHERE changed OR number = 1) AS path,
    count(*) FILTER (WHERE changed) AS markdowns,
    sum(units) AS units,
    arg_min(on_hand, week) AS on_hand,
    sum(revenue) AS revenue,
    min(elasticity) AS elasticity,
    min(elasticity_lower) AS elasticity_lower,
    min(elasticity_upper) AS elasticity_upper,
    min(own_data_share) AS own_data_share,
    min(binding_rule) AS binding_rule,
    min(unit_worth) AS unit_worth,
    min(stock_rule) AS stock_rule
  FROM (
    SELECT
      *,
      row_number() OVER (PARTITION BY plan, item, store_id ORDER BY week) AS number
    FROM markdown_plan
  ) AS numbered
  GROUP BY plan, item, store_id
) AS week
LEFT JOIN elasticities AS response ON response.item = week.item
LEFT JOIN planned_items AS start ON start.plan = week.plan AND start.name = week.name
ORDER BY week.plan, week.name
