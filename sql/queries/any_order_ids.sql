-- One row where the input names orders, none otherwise: without names a customer's day is one order.
-- inputs: order_lines
-- output: any_order_ids
-- grain:
-- parameters:
SELECT TRUE AS found
FROM order_lines
WHERE order_id IS NOT NULL
LIMIT 1
