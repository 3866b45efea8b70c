-- What each arm of each campaign is expected to move with one customer.
-- inputs: uplift_scores
-- output: customer_effects
-- grain: campaign, arm
-- parameters: customer VARCHAR
SELECT campaign, arm, effect, cost, net_effect
FROM uplift_scores
WHERE customer_id = $customer
ORDER BY campaign, arm
