-- Opens the current snapshot of a warehouse in DuckDB 2.0 or later: a view for each table, a variable for each
-- parameter, so that every file of sql/queries and sql/checks runs as it stands.
--
--   duckdb -init open.sql                         the warehouse is ./warehouse
--   duckdb -cmd "SET VARIABLE warehouse = 'path/to/warehouse'" -init open.sql
--
-- A build puts a copy with its own warehouse's place into that warehouse: duckdb -init warehouse/open.sql
-- Then .read sql/queries/top_customers.sql; another parameter: SET VARIABLE customers = 20; another run than the
-- current one: SET VARIABLE run_id = '...' before opening. After the next build, open again.
-- Made by `make docs` from sql/door.py; edit that instead.

-- Which run is current.
SET VARIABLE warehouse = coalesce(getvariable('warehouse'), 'warehouse');
SET VARIABLE run = (
  SELECT getvariable('warehouse') || '/runs/' || coalesce(getvariable('run_id'), run_id)
  FROM read_json(getvariable('warehouse') || '/current.json', columns = {run_id: 'VARCHAR'})
);

-- Parameters, as the snapshot was built with.
SET VARIABLE as_of = (
  SELECT CAST(parameters ->> 'as_of' AS DATE)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE audit_days = (
  SELECT coalesce(CAST(parameters ->> 'audit_days' AS BIGINT), 364)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE calibration_end = (
  SELECT CAST(parameters ->> 'calibration_end' AS DATE)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE campaign = (
  SELECT coalesce(CAST(parameters ->> 'campaign' AS VARCHAR), '')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE category = (
  SELECT coalesce(CAST(parameters ->> 'category' AS VARCHAR), '')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE censoring_days = (
  SELECT coalesce(CAST(parameters ->> 'censoring_days' AS BIGINT), 28)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE censoring_ratio = (
  SELECT coalesce(CAST(parameters ->> 'censoring_ratio' AS DOUBLE), 2)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE control = (
  SELECT coalesce(CAST(parameters ->> 'control' AS VARCHAR), 'control')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE currency = (
  SELECT CAST(parameters ->> 'currency' AS VARCHAR)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE customers = (
  SELECT coalesce(CAST(parameters ->> 'customers' AS BIGINT), 100)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE days_ahead = (
  SELECT coalesce(CAST(parameters ->> 'days_ahead' AS BIGINT), 1)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE days_behind = (
  SELECT coalesce(CAST(parameters ->> 'days_behind' AS BIGINT), 28)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE days_per_unit = (
  SELECT CAST(parameters ->> 'days_per_unit' AS DOUBLE)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE duplicates = (
  SELECT CAST(parameters ->> 'duplicates' AS VARCHAR)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE extreme_orders = (
  SELECT coalesce(CAST(parameters ->> 'extreme_orders' AS BIGINT), 10000)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE extreme_share = (
  SELECT coalesce(CAST(parameters ->> 'extreme_share' AS DOUBLE), 0.01)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE gap_days = (
  SELECT coalesce(CAST(parameters ->> 'gap_days' AS BIGINT), 7)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE guests = (
  SELECT CAST(parameters ->> 'guests' AS VARCHAR)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE ids_below = (
  SELECT coalesce(CAST(parameters ->> 'ids_below' AS VARCHAR), 'g')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE intervals = (
  SELECT coalesce(CAST(parameters ->> 'intervals' AS VARCHAR), 'all')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE item_level = (
  SELECT coalesce(CAST(parameters ->> 'item_level' AS VARCHAR), 'style_color')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE least_probability = (
  SELECT coalesce(CAST(parameters ->> 'least_probability' AS DOUBLE), 0.5)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE least_purchase_days = (
  SELECT coalesce(CAST(parameters ->> 'least_purchase_days' AS BIGINT), 2)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE observation_end = (
  SELECT CAST(parameters ->> 'observation_end' AS DATE)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE outlier_ratio = (
  SELECT coalesce(CAST(parameters ->> 'outlier_ratio' AS DOUBLE), 100)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE period = (
  SELECT coalesce(CAST(parameters ->> 'period' AS VARCHAR), 'week')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE period_days = (
  SELECT coalesce(CAST(parameters ->> 'period_days' AS BIGINT), 30)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE promoted_from = (
  SELECT coalesce(CAST(parameters ->> 'promoted_from' AS DOUBLE), 0.05)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE refunds = (
  SELECT CAST(parameters ->> 'refunds' AS VARCHAR)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE return_window_days = (
  SELECT CAST(parameters ->> 'return_window_days' AS BIGINT)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE sort_by = (
  SELECT coalesce(CAST(parameters ->> 'sort_by' AS VARCHAR), 'stake')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE stale_days = (
  SELECT coalesce(CAST(parameters ->> 'stale_days' AS BIGINT), 14)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE stores = (
  SELECT coalesce(CAST(parameters ->> 'stores' AS VARCHAR), 'together')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE unsent = (
  SELECT coalesce(CAST(parameters ->> 'unsent' AS VARCHAR), 'left_out')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE unsold = (
  SELECT coalesce(CAST(parameters ->> 'unsold' AS VARCHAR), 'carried')
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE window_days = (
  SELECT coalesce(CAST(parameters ->> 'window_days' AS BIGINT), 28)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE year_days = (
  SELECT coalesce(CAST(parameters ->> 'year_days' AS BIGINT), 365)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);
SET VARIABLE zero_revenue = (
  SELECT CAST(parameters ->> 'zero_revenue' AS VARCHAR)
  FROM read_json(getvariable('run') || '/manifest.json', columns = {parameters: 'JSON'})
);

-- Tables of the snapshot.
CREATE OR REPLACE VIEW rejected_order_lines AS FROM read_parquet(getvariable('run') || '/rejected_order_lines.parquet');
CREATE OR REPLACE VIEW money_reconciliation AS FROM read_parquet(getvariable('run') || '/money_reconciliation.parquet');
CREATE OR REPLACE VIEW check_results AS FROM read_parquet(getvariable('run') || '/check_results.parquet');
CREATE OR REPLACE VIEW daily_money AS FROM read_parquet(getvariable('run') || '/daily_money.parquet');
CREATE OR REPLACE VIEW return_lines AS FROM read_parquet(getvariable('run') || '/return_lines.parquet');
CREATE OR REPLACE VIEW returnable_sales AS FROM read_parquet(getvariable('run') || '/returnable_sales.parquet');
CREATE OR REPLACE VIEW customer_days AS FROM read_parquet(getvariable('run') || '/customer_days.parquet');
CREATE OR REPLACE VIEW customer_summary AS FROM read_parquet(getvariable('run') || '/customer_summary.parquet');
CREATE OR REPLACE VIEW cohorts AS FROM read_parquet(getvariable('run') || '/cohorts.parquet');
CREATE OR REPLACE VIEW audit_periods AS FROM read_parquet(getvariable('run') || '/audit_periods.parquet');
CREATE OR REPLACE VIEW audit_one_period AS FROM read_parquet(getvariable('run') || '/audit_one_period.parquet');
CREATE OR REPLACE VIEW audit_two_periods AS FROM read_parquet(getvariable('run') || '/audit_two_periods.parquet');
CREATE OR REPLACE VIEW audit_one_cohort AS FROM read_parquet(getvariable('run') || '/audit_one_cohort.parquet');
CREATE OR REPLACE VIEW audit_all_cohorts AS FROM read_parquet(getvariable('run') || '/audit_all_cohorts.parquet');
CREATE OR REPLACE VIEW audit_health AS FROM read_parquet(getvariable('run') || '/audit_health.parquet');
CREATE OR REPLACE VIEW gap_life_table AS FROM read_parquet(getvariable('run') || '/gap_life_table.parquet');
CREATE OR REPLACE VIEW model_reports AS FROM read_parquet(getvariable('run') || '/model_reports.parquet');
CREATE OR REPLACE VIEW model_calibration AS FROM read_parquet(getvariable('run') || '/model_calibration.parquet');
CREATE OR REPLACE VIEW order_tracking AS FROM read_parquet(getvariable('run') || '/order_tracking.parquet');
CREATE OR REPLACE VIEW customer_scores AS FROM read_parquet(getvariable('run') || '/customer_scores.parquet');
CREATE OR REPLACE VIEW customer_intervals AS FROM read_parquet(getvariable('run') || '/customer_intervals.parquet');
CREATE OR REPLACE VIEW portfolio_terms AS FROM read_parquet(getvariable('run') || '/portfolio_terms.parquet');
CREATE OR REPLACE VIEW score_terms AS FROM read_parquet(getvariable('run') || '/score_terms.parquet');
CREATE OR REPLACE VIEW customer_churn AS FROM read_parquet(getvariable('run') || '/customer_churn.parquet');
CREATE OR REPLACE VIEW churn_reports AS FROM read_parquet(getvariable('run') || '/churn_reports.parquet');
CREATE OR REPLACE VIEW churn_calibration AS FROM read_parquet(getvariable('run') || '/churn_calibration.parquet');
CREATE OR REPLACE VIEW kpis AS FROM read_parquet(getvariable('run') || '/kpis.parquet');
CREATE OR REPLACE VIEW campaign_effects AS FROM read_parquet(getvariable('run') || '/campaign_effects.parquet');
CREATE OR REPLACE VIEW campaign_curves AS FROM read_parquet(getvariable('run') || '/campaign_curves.parquet');
CREATE OR REPLACE VIEW campaign_findings AS FROM read_parquet(getvariable('run') || '/campaign_findings.parquet');
CREATE OR REPLACE VIEW campaign_balance AS FROM read_parquet(getvariable('run') || '/campaign_balance.parquet');
CREATE OR REPLACE VIEW campaign_holdout AS FROM read_parquet(getvariable('run') || '/campaign_holdout.parquet');
CREATE OR REPLACE VIEW campaign_values AS FROM read_parquet(getvariable('run') || '/campaign_values.parquet');
CREATE OR REPLACE VIEW uplift_scores AS FROM read_parquet(getvariable('run') || '/uplift_scores.parquet');
CREATE OR REPLACE VIEW price_panel AS FROM read_parquet(getvariable('run') || '/price_panel.parquet');
CREATE OR REPLACE VIEW elasticities AS FROM read_parquet(getvariable('run') || '/elasticities.parquet');
CREATE OR REPLACE VIEW markdown_plans AS FROM read_parquet(getvariable('run') || '/markdown_plans.parquet');
CREATE OR REPLACE VIEW markdown_plan AS FROM read_parquet(getvariable('run') || '/markdown_plan.parquet');

-- Beside the snapshots.
CREATE OR REPLACE VIEW prediction_tracking AS FROM read_parquet(getvariable('warehouse') || '/prediction_tracking.parquet');
CREATE OR REPLACE VIEW churn_tracking AS FROM read_parquet(getvariable('warehouse') || '/churn_tracking.parquet');

-- Input tables, read from the files behind the snapshot where they still lie.
SET VARIABLE input = (
  SELECT order_lines FROM read_json(getvariable('run') || '/inputs.json', columns = {order_lines: 'STRUCT(files VARCHAR[], scan VARCHAR, typed VARCHAR, gone VARCHAR, gone_typed VARCHAR)'})
);
SET VARIABLE input_files = list_append(getvariable('input').files, getvariable('warehouse') || '/current.json');
SET VARIABLE input_is_here = (SELECT count(*) = len(getvariable('input_files')) FROM glob(getvariable('input_files')));
SET VARIABLE order_lines_scan = if(getvariable('input_is_here'), getvariable('input').scan, getvariable('input').gone);
SET VARIABLE order_lines_typed = if(
  getvariable('input_is_here'), getvariable('input').typed, getvariable('input').gone_typed
);
CREATE OR REPLACE VIEW raw_order_lines AS FROM query(getvariable('order_lines_scan'));
CREATE OR REPLACE VIEW order_lines AS FROM query(getvariable('order_lines_typed'));

SET VARIABLE input = (
  SELECT customer_links FROM read_json(getvariable('run') || '/inputs.json', columns = {customer_links: 'STRUCT(files VARCHAR[], scan VARCHAR, typed VARCHAR, gone VARCHAR, gone_typed VARCHAR)'})
);
SET VARIABLE input_files = list_append(getvariable('input').files, getvariable('warehouse') || '/current.json');
SET VARIABLE input_is_here = (SELECT count(*) = len(getvariable('input_files')) FROM glob(getvariable('input_files')));
SET VARIABLE customer_links_scan = if(getvariable('input_is_here'), getvariable('input').scan, getvariable('input').gone);
SET VARIABLE customer_links_typed = if(
  getvariable('input_is_here'), getvariable('input').typed, getvariable('input').gone_typed
);
CREATE OR REPLACE VIEW raw_customer_links AS FROM query(getvariable('customer_links_scan'));
CREATE OR REPLACE VIEW customer_links AS FROM query(getvariable('customer_links_typed'));

SET VARIABLE input = (
  SELECT exchange_rates FROM read_json(getvariable('run') || '/inputs.json', columns = {exchange_rates: 'STRUCT(files VARCHAR[], scan VARCHAR, typed VARCHAR, gone VARCHAR, gone_typed VARCHAR)'})
);
SET VARIABLE input_files = list_append(getvariable('input').files, getvariable('warehouse') || '/current.json');
SET VARIABLE input_is_here = (SELECT count(*) = len(getvariable('input_files')) FROM glob(getvariable('input_files')));
SET VARIABLE exchange_rates_scan = if(getvariable('input_is_here'), getvariable('input').scan, getvariable('input').gone);
SET VARIABLE exchange_rates_typed = if(
  getvariable('input_is_here'), getvariable('input').typed, getvariable('input').gone_typed
);
CREATE OR REPLACE VIEW raw_exchange_rates AS FROM query(getvariable('exchange_rates_scan'));
CREATE OR REPLACE VIEW exchange_rates AS FROM query(getvariable('exchange_rates_typed'));

SET VARIABLE input = (
  SELECT customers FROM read_json(getvariable('run') || '/inputs.json', columns = {customers: 'STRUCT(files VARCHAR[], scan VARCHAR, typed VARCHAR, gone VARCHAR, gone_typed VARCHAR)'})
);
SET VARIABLE input_files = list_append(getvariable('input').files, getvariable('warehouse') || '/current.json');
SET VARIABLE input_is_here = (SELECT count(*) = len(getvariable('input_files')) FROM glob(getvariable('input_files')));
SET VARIABLE customers_scan = if(getvariable('input_is_here'), getvariable('input').scan, getvariable('input').gone);
SET VARIABLE customers_typed = if(
  getvariable('input_is_here'), getvariable('input').typed, getvariable('input').gone_typed
);
CREATE OR REPLACE VIEW raw_customers AS FROM query(getvariable('customers_scan'));
CREATE OR REPLACE VIEW customers AS FROM query(getvariable('customers_typed'));

SET VARIABLE input = (
  SELECT products FROM read_json(getvariable('run') || '/inputs.json', columns = {products: 'STRUCT(files VARCHAR[], scan VARCHAR, typed VARCHAR, gone VARCHAR, gone_typed VARCHAR)'})
);
SET VARIABLE input_files = list_append(getvariable('input').files, getvariable('warehouse') || '/current.json');
SET VARIABLE input_is_here = (SELECT count(*) = len(getvariable('input_files')) FROM glob(getvariable('input_files')));
SET VARIABLE products_scan = if(getvariable('input_is_here'), getvariable('input').scan, getvariable('input').gone);
SET VARIABLE products_typed = if(
  getvariable('input_is_here'), getvariable('input').typed, getvariable('input').gone_typed
);
CREATE OR REPLACE VIEW raw_products AS FROM query(getvariable('products_scan'));
CREATE OR REPLACE VIEW products AS FROM query(getvariable('products_typed'));

SET VARIABLE input = (
  SELECT stock FROM read_json(getvariable('run') || '/inputs.json', columns = {stock: 'STRUCT(files VARCHAR[], scan VARCHAR, typed VARCHAR, gone VARCHAR, gone_typed VARCHAR)'})
);
SET VARIABLE input_files = list_append(getvariable('input').files, getvariable('warehouse') || '/current.json');
SET VARIABLE input_is_here = (SELECT count(*) = len(getvariable('input_files')) FROM glob(getvariable('input_files')));
SET VARIABLE stock_scan = if(getvariable('input_is_here'), getvariable('input').scan, getvariable('input').gone);
SET VARIABLE stock_typed = if(
  getvariable('input_is_here'), getvariable('input').typed, getvariable('input').gone_typed
);
CREATE OR REPLACE VIEW raw_stock AS FROM query(getvariable('stock_scan'));
CREATE OR REPLACE VIEW stock AS FROM query(getvariable('stock_typed'));

SET VARIABLE input = (
  SELECT promotions FROM read_json(getvariable('run') || '/inputs.json', columns = {promotions: 'STRUCT(files VARCHAR[], scan VARCHAR, typed VARCHAR, gone VARCHAR, gone_typed VARCHAR)'})
);
SET VARIABLE input_files = list_append(getvariable('input').files, getvariable('warehouse') || '/current.json');
SET VARIABLE input_is_here = (SELECT count(*) = len(getvariable('input_files')) FROM glob(getvariable('input_files')));
SET VARIABLE promotions_scan = if(getvariable('input_is_here'), getvariable('input').scan, getvariable('input').gone);
SET VARIABLE promotions_typed = if(
  getvariable('input_is_here'), getvariable('input').typed, getvariable('input').gone_typed
);
CREATE OR REPLACE VIEW raw_promotions AS FROM query(getvariable('promotions_scan'));
CREATE OR REPLACE VIEW promotions AS FROM query(getvariable('promotions_typed'));

SET VARIABLE input = (
  SELECT sends FROM read_json(getvariable('run') || '/inputs.json', columns = {sends: 'STRUCT(files VARCHAR[], scan VARCHAR, typed VARCHAR, gone VARCHAR, gone_typed VARCHAR)'})
);
SET VARIABLE input_files = list_append(getvariable('input').files, getvariable('warehouse') || '/current.json');
SET VARIABLE input_is_here = (SELECT count(*) = len(getvariable('input_files')) FROM glob(getvariable('input_files')));
SET VARIABLE sends_scan = if(getvariable('input_is_here'), getvariable('input').scan, getvariable('input').gone);
SET VARIABLE sends_typed = if(
  getvariable('input_is_here'), getvariable('input').typed, getvariable('input').gone_typed
);
CREATE OR REPLACE VIEW raw_sends AS FROM query(getvariable('sends_scan'));
CREATE OR REPLACE VIEW sends AS FROM query(getvariable('sends_typed'));

-- What an incremental build takes over from the snapshot before; by hand all is read anew.
CREATE OR REPLACE VIEW previous_daily_money AS FROM daily_money WHERE false;
CREATE OR REPLACE VIEW previous_return_lines AS FROM return_lines WHERE false;
CREATE OR REPLACE VIEW previous_returnable_sales AS FROM returnable_sales WHERE false;
CREATE OR REPLACE VIEW previous_customer_days AS FROM customer_days WHERE false;
CREATE OR REPLACE VIEW previous_rejected_order_lines AS FROM rejected_order_lines WHERE false;
CREATE OR REPLACE VIEW previous_check_results AS FROM check_results WHERE false;

-- What queries make between the two.
CREATE OR REPLACE VIEW any_order_ids AS
SELECT TRUE AS found
FROM order_lines
WHERE order_id IS NOT NULL
LIMIT 1;

CREATE OR REPLACE VIEW any_returns AS
SELECT TRUE AS found
FROM order_lines
WHERE getvariable('refunds') = 'net' AND (revenue < 0 OR returned_at IS NOT NULL)
LIMIT 1;

CREATE OR REPLACE VIEW base_kpis AS
WITH customers AS (
    SELECT
        count(*) AS customers,
        count(*) FILTER (WHERE frequency > 0) AS repeat_customers,
        count(*) FILTER (WHERE date_diff('day', first_order_on, getvariable('as_of')) < getvariable('period_days')) AS new_customers,
        count(*) FILTER (WHERE date_diff('day', last_order_on, getvariable('as_of')) < getvariable('period_days')) AS active_customers,
        median(CAST(recency_days AS DOUBLE) / nullif(frequency, 0)) AS days_between,
        CAST(sum(returned_revenue) AS DOUBLE) AS returned_revenue,
        CAST(sum(revenue) AS DOUBLE) AS revenue,
        CAST(sum(returnable_revenue) AS DOUBLE) AS returnable_revenue
    FROM customer_summary
),
days AS (
    SELECT
        sum(orders) AS orders,
        sum(orders) FILTER (WHERE date_diff('day', day, getvariable('as_of')) < getvariable('period_days')) AS orders_lately,
        CAST(
            sum(revenue - returned_revenue) FILTER (WHERE date_diff('day', day, getvariable('as_of')) < getvariable('period_days')) AS DOUBLE
        ) AS revenue_lately,
        CAST(
            sum(revenue - returned_revenue) FILTER (
                WHERE date_diff('day', day, getvariable('as_of')) >= getvariable('period_days')
                    AND date_diff('day', day, getvariable('as_of')) < 2 * getvariable('period_days')
            ) AS DOUBLE
        ) AS revenue_before
    FROM customer_days
    WHERE day <= getvariable('as_of')
),
figures AS (
    SELECT
        'customers' AS kpi, CAST(customers AS DOUBLE) AS value, 'customers' AS unit,
        'Customers with at least one purchase' AS meaning
    FROM customers
    UNION ALL
    SELECT
        'active_customers', CAST(active_customers AS DOUBLE), 'customers',
        'Customers who bought in the last ' || CAST(getvariable('period_days') AS VARCHAR) || ' days'
    FROM customers
    UNION ALL
    SELECT
        'new_customers', CAST(new_customers AS DOUBLE), 'customers',
        'Customers whose first purchase lies in the last ' || CAST(getvariable('period_days') AS VARCHAR) || ' days'
    FROM customers
    UNION ALL
    SELECT
        'repeat_rate', CAST(repeat_customers AS DOUBLE) / nullif(customers, 0), 'share',
        'Share of customers with purchases on more than one day'
    FROM customers
    UNION ALL
    SELECT
        'days_between_purchases', days_between, 'days',
        'Median over repeat customers of their mean gap between purchase days'
    FROM customers
    UNION ALL
    SELECT 'orders', CAST(orders AS DOUBLE), 'orders', 'All orders' FROM days
    UNION ALL
    SELECT
        'orders_lately', CAST(coalesce(orders_lately, 0) AS DOUBLE), 'orders',
        'Orders of the last ' || CAST(getvariable('period_days') AS VARCHAR) || ' days'
    FROM days
    UNION ALL
    SELECT 'revenue', revenue, 'currency', 'All sales less what came back' FROM customers
    UNION ALL
    SELECT
        'revenue_lately', coalesce(revenue_lately, 0), 'currency',
        'Sales less returns of the last ' || CAST(getvariable('period_days') AS VARCHAR) || ' days'
    FROM days
    UNION ALL
    SELECT
        'revenue_change', revenue_lately / nullif(revenue_before, 0) - 1, 'share',
        'revenue_lately over the ' || CAST(getvariable('period_days') AS VARCHAR) || ' days before, less 1'
    FROM days
    UNION ALL
    SELECT
        'average_order_value', customers.revenue / nullif(days.orders, 0), 'currency', 'revenue over orders'
    FROM customers
    CROSS JOIN days
    UNION ALL
    SELECT
        'return_rate', returned_revenue / nullif(revenue + returned_revenue, 0), 'share',
        'What came back over sales before returns'
    FROM customers
    UNION ALL
    SELECT
        'returnable_revenue', returnable_revenue, 'currency', 'Net revenue still inside its return window'
    FROM customers
)
SELECT
    kpi,
    value,
    CAST(NULL AS DOUBLE) AS low,
    CAST(NULL AS DOUBLE) AS high,
    unit,
    getvariable('as_of') AS as_of,
    meaning
FROM figures;

CREATE OR REPLACE VIEW customers_at_churn_risk AS
WITH at_stake AS (
    SELECT
        customer_churn.customer_id,
        customer_churn.horizon_days,
        customer_churn.probability_no_order,
        customer_churn.probability_no_order * CAST(customer_summary.revenue AS DOUBLE) * customer_churn.horizon_days
        / nullif(greatest(customer_summary.T_days, getvariable('year_days')), 0) AS value_at_stake,
        customer_churn.chosen,
        customer_churn.median_days_survival,
        customer_churn.median_days_btyd,
        customer_churn.days_since_order,
        customer_churn.beyond_range,
        customer_summary.last_order_on,
        customer_summary.orders,
        customer_summary.revenue,
        customer_scores.customer_value,
        customer_churn.reason_1,
        customer_churn.reason_2,
        customer_churn.reason_3,
        CAST(customer_summary.revenue AS DOUBLE) AS money
    FROM customer_churn
    JOIN customer_summary ON customer_churn.customer_id = customer_summary.customer_id
    LEFT JOIN customer_scores ON customer_churn.customer_id = customer_scores.customer_id
    WHERE
        customer_churn.probability_no_order >= getvariable('least_probability')
        AND customer_summary.frequency + 1 >= getvariable('least_purchase_days')
        AND getvariable('sort_by') IN ('stake', 'probability', 'revenue')
),

placed AS (
    SELECT
        *,
        CASE
            WHEN getvariable('sort_by') = 'probability' THEN probability_no_order
            WHEN getvariable('sort_by') = 'revenue' THEN money
            ELSE value_at_stake
        END AS place
    FROM at_stake
)

SELECT
    customer_id,
    horizon_days,
    probability_no_order,
    value_at_stake,
    chosen,
    median_days_survival,
    median_days_btyd,
    days_since_order,
    beyond_range,
    last_order_on,
    orders,
    revenue,
    customer_value,
    reason_1,
    reason_2,
    reason_3
FROM placed
ORDER BY place DESC, revenue DESC, customer_id
LIMIT getvariable('customers');

CREATE OR REPLACE VIEW customers_at_risk AS
SELECT
    customer_scores.customer_id,
    customer_summary.revenue,
    customer_summary.orders,
    customer_summary.last_order_on,
    customer_scores.probability_alive,
    customer_scores.probability_no_order,
    customer_scores.customer_value,
    customer_scores.expected_order_value,
    customer_churn.horizon_days AS churn_horizon_days,
    customer_churn.probability_no_order AS churn_probability_no_order,
    customer_churn.chosen AS churn_model,
    coalesce(customer_churn.reason_1, '') AS reason_1,
    coalesce(customer_churn.reason_2, '') AS reason_2,
    coalesce(customer_churn.reason_3, '') AS reason_3
FROM customer_scores
JOIN customer_summary ON customer_scores.customer_id = customer_summary.customer_id
LEFT JOIN customer_churn ON customer_scores.customer_id = customer_churn.customer_id
WHERE customer_scores.segment = 'at_risk'
ORDER BY customer_summary.revenue DESC, customer_scores.customer_id
LIMIT getvariable('customers');

CREATE OR REPLACE VIEW daily_rates AS
WITH rates AS (
    SELECT currency, day, rate, lead(day) OVER (PARTITION BY currency ORDER BY day) AS next_day
    FROM (
        SELECT currency, day, min(rate) AS rate
        FROM exchange_rates
        WHERE exchange_rates.rate > 0
        GROUP BY currency, day
    ) AS one_a_day
),
wanted AS (
    SELECT DISTINCT order_lines.currency, CAST(order_lines.ordered_at AS DATE) AS day
    FROM order_lines
    SEMI JOIN exchange_rates ON order_lines.currency = exchange_rates.currency
)
SELECT wanted.currency, wanted.day, rates.rate
FROM wanted
JOIN rates
    ON wanted.currency = rates.currency
    AND wanted.day >= rates.day
    AND (rates.next_day IS NULL OR wanted.day < rates.next_day);

CREATE OR REPLACE VIEW first_purchases_by_day AS
SELECT first_order_on AS day, count(*) AS customers
FROM (
    SELECT customer_id, min(day) AS first_order_on
    FROM customer_days
    GROUP BY customer_id
    HAVING min(day) <= getvariable('calibration_end')
) AS acquired
GROUP BY first_order_on;

CREATE OR REPLACE VIEW holdout_summary AS
WITH customers AS (
    SELECT
        customer_id,
        count(*) FILTER (WHERE day <= getvariable('calibration_end')) AS days,
        min(day) AS first_order_on,
        max(day) FILTER (WHERE day <= getvariable('calibration_end')) AS last_order_on,
        sum(revenue - returned_revenue) FILTER (WHERE day <= getvariable('calibration_end')) AS revenue,
        arg_min(revenue - returned_revenue, day) AS first_order_revenue,
        count(*) FILTER (WHERE day > getvariable('calibration_end')) AS days_holdout,
        coalesce(sum(revenue - returned_revenue) FILTER (WHERE day > getvariable('calibration_end')), 0) AS revenue_holdout
    FROM customer_days
    WHERE day <= getvariable('observation_end')
    GROUP BY customer_id
    HAVING min(day) <= getvariable('calibration_end')
)
SELECT
    customer_id,
    days - 1 AS frequency,
    date_diff('day', first_order_on, last_order_on) / nullif(getvariable('days_per_unit'), 0) AS recency,
    date_diff('day', first_order_on, getvariable('calibration_end')) / nullif(getvariable('days_per_unit'), 0) AS T,
    coalesce(CAST(revenue - first_order_revenue AS DOUBLE) / nullif(days - 1, 0), 0) AS monetary_value,
    CAST(date_diff('day', first_order_on, last_order_on) AS BIGINT) AS recency_days,
    CAST(date_diff('day', first_order_on, getvariable('calibration_end')) AS BIGINT) AS T_days,
    days_holdout AS frequency_holdout,
    CAST(revenue_holdout AS DECIMAL(18, 2)) AS revenue_holdout,
    coalesce(CAST(revenue_holdout AS DOUBLE) / nullif(days_holdout, 0), 0) AS monetary_value_holdout,
    date_diff('day', getvariable('calibration_end'), getvariable('observation_end')) / nullif(getvariable('days_per_unit'), 0) AS duration_holdout
FROM customers;

CREATE OR REPLACE VIEW most_orders AS
SELECT
    customer_id,
    orders,
    frequency,
    revenue,
    first_order_on,
    last_order_on,
    CAST(orders AS DOUBLE) / nullif(CAST(sum(orders) OVER () AS DOUBLE), 0) AS share_of_orders
FROM customer_summary
ORDER BY orders DESC, customer_id
LIMIT getvariable('customers');

CREATE OR REPLACE VIEW order_gaps AS
WITH days AS (
    SELECT
        customer_id,
        day,
        date_diff('day', day, getvariable('as_of')) AS days_before,
        orders,
        revenue,
        discount
    FROM customer_days
    WHERE day <= getvariable('as_of') AND substr(md5(customer_id), 1, 4) < getvariable('ids_below')
),
walked AS (
    SELECT
        customer_id,
        day,
        days_before,
        orders,
        revenue,
        (row_number() OVER history) - 1 AS frequency,
        (max(days_before) OVER history) - days_before AS tenure,
        (lag(days_before) OVER history) - days_before AS previous_gap,
        (lag(days_before, 2) OVER history) - (lag(days_before) OVER history) AS gap_before_previous,
        days_before - (lead(days_before) OVER history) AS duration,
        lead(day) OVER history AS next_day,
        sum(revenue) OVER history AS revenue_so_far,
        sum(discount) OVER history AS discount_so_far,
        -- recent days have a smaller days_before
        count(*) OVER (
            PARTITION BY customer_id ORDER BY days_before RANGE BETWEEN CURRENT ROW AND 27 FOLLOWING
        ) AS purchases_28,
        count(*) OVER (
            PARTITION BY customer_id ORDER BY days_before RANGE BETWEEN CURRENT ROW AND 90 FOLLOWING
        ) AS purchases_91
    FROM days
    WINDOW history AS (PARTITION BY customer_id ORDER BY day)
),
regular AS (
    SELECT
        *,
        max(previous_gap) OVER history AS longest_gap,
        sum(previous_gap * previous_gap) OVER history AS squared_gaps
    FROM walked
    WINDOW history AS (PARTITION BY customer_id ORDER BY day)
)
SELECT
    customer_id,
    CAST(frequency + 1 AS BIGINT) AS gap_number,
    day AS starts,
    coalesce(next_day, getvariable('as_of')) AS ends,
    CAST(coalesce(duration, days_before) AS BIGINT) AS duration,
    next_day IS NOT NULL AS event,
    CAST(frequency AS BIGINT) AS frequency,
    CAST(tenure AS BIGINT) AS tenure,
    CAST(previous_gap AS BIGINT) AS previous_gap,
    CAST(gap_before_previous AS BIGINT) AS gap_before_previous,
    CAST(tenure AS DOUBLE) / nullif(frequency, 0) AS mean_gap,
    CAST(longest_gap AS BIGINT) AS longest_gap,
    CASE
        WHEN frequency > 1
            THEN sqrt(
                greatest(CAST(frequency * squared_gaps - tenure * tenure AS DOUBLE), 0)
                / nullif(CAST(frequency * (frequency - 1) AS DOUBLE), 0)
            ) / nullif(CAST(tenure AS DOUBLE) / nullif(frequency, 0), 0)
    END AS gap_variation,
    CAST(purchases_28 AS BIGINT) AS purchases_28,
    CAST(purchases_91 AS BIGINT) AS purchases_91,
    CAST(revenue AS DOUBLE) AS basket_value,
    CAST(revenue_so_far AS DOUBLE) / nullif(frequency + 1, 0) AS mean_value,
    CAST(discount_so_far AS DOUBLE) / nullif(CAST(discount_so_far + revenue_so_far AS DOUBLE), 0) AS discount_share,
    CAST(orders AS BIGINT) AS orders,
    CAST(month(day) AS BIGINT) AS month,
    CAST(date_diff('day', CAST(date_trunc('year', day) AS DATE), day) AS BIGINT) AS day_of_year
FROM regular
WHERE getvariable('intervals') = 'all' OR next_day IS NULL;

CREATE OR REPLACE VIEW pending_returns AS
SELECT count(*) AS lines
FROM order_lines
WHERE CAST(returned_at AS DATE) > getvariable('as_of');

CREATE OR REPLACE VIEW purchase_span AS
SELECT min(day) AS first_day, max(day) AS last_day
FROM customer_days
WHERE day <= getvariable('as_of');

CREATE OR REPLACE VIEW repeat_purchases_by_day AS
WITH acquired AS (
    SELECT customer_id, min(day) AS first_order_on
    FROM customer_days
    GROUP BY customer_id
    HAVING min(day) <= getvariable('calibration_end')
)
SELECT customer_days.day, count(*) AS purchase_days
FROM customer_days
JOIN acquired
    ON customer_days.customer_id = acquired.customer_id AND customer_days.day > acquired.first_order_on
WHERE customer_days.day <= getvariable('observation_end')
GROUP BY customer_days.day;

CREATE OR REPLACE VIEW resolved_customer_links AS
WITH RECURSIVE links AS (
    SELECT old_id, min(customer_id) AS customer_id
    FROM customer_links
    WHERE old_id <> customer_links.customer_id
    GROUP BY old_id
),
walk AS (
    SELECT old_id, customer_id, 1 AS hops FROM links
    UNION ALL
    SELECT walk.old_id, links.customer_id, walk.hops + 1 AS hops
    FROM walk
    JOIN links ON links.old_id = walk.customer_id
    -- back at its beginning a circle ends; 32 steps end the way into one
    WHERE walk.hops < 32 AND walk.old_id <> links.customer_id
)
SELECT old_id, arg_max(customer_id, hops) AS customer_id
FROM walk
GROUP BY old_id;

CREATE OR REPLACE VIEW summary_counts AS
SELECT
    frequency,
    recency_days / nullif(getvariable('days_per_unit'), 0) AS recency,
    T_days / nullif(getvariable('days_per_unit'), 0) AS T,
    recency_days,
    T_days,
    count(*) AS weight
FROM customer_summary
GROUP BY frequency, recency_days, T_days;

CREATE OR REPLACE VIEW top_customers AS
SELECT
    customer_scores.customer_id,
    customer_scores.segment,
    customer_scores.customer_value,
    customer_scores.value_low,
    customer_scores.value_high,
    customer_scores.probability_alive,
    customer_scores.expected_orders,
    customer_summary.frequency,
    customer_summary.orders,
    customer_summary.revenue,
    customer_summary.last_order_on
FROM customer_scores
JOIN customer_summary ON customer_scores.customer_id = customer_summary.customer_id
ORDER BY customer_scores.customer_value DESC NULLS LAST, customer_scores.customer_id
LIMIT getvariable('customers');

CREATE OR REPLACE VIEW value_concentration AS
WITH ranked AS (
    SELECT
        -- whole cents: their sum is the same in any order
        CAST(round(coalesce(customer_value, 0) * 100) AS BIGINT) AS cents,
        ntile(10) OVER (ORDER BY customer_value DESC NULLS LAST, customer_id) AS decile
    FROM customer_scores
),
deciles AS (
    SELECT decile, count(*) AS customers, sum(cents) AS cents
    FROM ranked
    GROUP BY decile
)
SELECT
    CAST(decile AS BIGINT) AS decile,
    customers,
    CAST(cents * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)) AS customer_value,
    CAST(cents AS DOUBLE) / nullif(CAST(sum(cents) OVER () AS DOUBLE), 0) AS share,
    CAST(sum(cents) OVER (ORDER BY decile ROWS UNBOUNDED PRECEDING) AS DOUBLE)
        / nullif(CAST(sum(cents) OVER () AS DOUBLE), 0) AS cumulative_share
FROM deciles;

CREATE OR REPLACE VIEW campaign_recipients AS
WITH addressed AS (
    SELECT
        coalesce(resolved_customer_links.customer_id, sends.customer_id) AS customer_id,
        sends.arm,
        sends.sent_at,
        CAST(sends.sent_at AS DATE) AS sent_on,
        sends.propensity
    FROM sends
    LEFT JOIN resolved_customer_links ON sends.customer_id = resolved_customer_links.old_id
    WHERE
        sends.campaign = getvariable('campaign')
        AND trim(sends.campaign) <> ''
        AND trim(sends.customer_id) <> ''
        AND trim(sends.arm) <> ''
        AND CAST(sends.sent_at AS DATE) <= getvariable('as_of')
),
numbered AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY customer_id ORDER BY sent_at, arm, propensity NULLS LAST
        ) AS number
    FROM addressed
),
first_day AS (
    SELECT min(sent_on) AS sent_on FROM addressed
),
known AS (
    SELECT customer_id, min(day) AS first_order_on
    FROM customer_days
    WHERE getvariable('unsent') = 'control'
    GROUP BY customer_id
),
rest AS (
    SELECT known.customer_id, first_day.sent_on
    FROM known
    CROSS JOIN first_day
    WHERE known.first_order_on < first_day.sent_on
)
SELECT numbered.customer_id, numbered.arm, numbered.sent_on, numbered.propensity
FROM numbered
LEFT JOIN known ON numbered.customer_id = known.customer_id
WHERE numbered.number = 1 AND (getvariable('unsent') <> 'control' OR known.first_order_on < numbered.sent_on)
UNION ALL
SELECT rest.customer_id, getvariable('control') AS arm, rest.sent_on, CAST(NULL AS DOUBLE) AS propensity
FROM rest
LEFT JOIN numbered ON rest.customer_id = numbered.customer_id AND numbered.number = 1
WHERE numbered.customer_id IS NULL;

CREATE OR REPLACE VIEW holdout_counts AS
SELECT
    frequency,
    recency_days / nullif(getvariable('days_per_unit'), 0) AS recency,
    T_days / nullif(getvariable('days_per_unit'), 0) AS T,
    recency_days,
    T_days,
    frequency_holdout,
    count(*) AS weight
FROM holdout_summary
GROUP BY frequency, recency_days, T_days, frequency_holdout;

CREATE OR REPLACE VIEW judged_order_lines AS
WITH numbered AS (
    SELECT
        *,
        -- only computed where duplicates are set aside: the planner drops it otherwise
        row_number() OVER (
            PARTITION BY
                customer_id, ordered_at, ordered_at_text, revenue, revenue_text, order_id, sku, quantity, unit_price,
                list_price, unit_cost, discount, store_id, channel, currency, returned_at, original_order_id,
                is_product
            ORDER BY ordered_at
        ) AS copy
    FROM order_lines
),
dated AS (
    SELECT
        CASE
            WHEN getvariable('guests') = 'one_customer_per_order' AND (customer_id IS NULL OR trim(customer_id) = '')
                THEN 'guest:' || CASE WHEN revenue < 0 THEN coalesce(original_order_id, order_id) ELSE order_id END
            ELSE customer_id
        END AS known_as,
        customer_id AS source_customer_id,
        CAST(ordered_at AS DATE) AS day,
        coalesce(currency, getvariable('currency')) AS line_currency,
        coalesce(currency = getvariable('currency'), TRUE) AS is_reporting_currency,
        currency AS foreign_currency,
        ordered_at, ordered_at_text, revenue, revenue_text, order_id, sku, original_order_id, discount, is_product, channel,
        CAST(returned_at AS DATE) AS returned_on,
        copy
    FROM numbered
),
priced AS (
    SELECT
        dated.*,
        coalesce(resolved_customer_links.customer_id, dated.known_as) AS customer_id,
        -- one digit wider: DuckDB keeps DECIMAL(18) times DECIMAL(18) in 18 digits
        CASE
            WHEN is_reporting_currency THEN revenue
            ELSE try_cast(round(CAST(revenue AS DECIMAL(19, 2)) * rate, 2) AS DECIMAL(18, 2))
        END AS revenue_reporting,
        CASE
            WHEN is_reporting_currency THEN coalesce(discount, 0)
            ELSE coalesce(try_cast(round(CAST(discount AS DECIMAL(19, 2)) * rate, 2) AS DECIMAL(18, 2)), 0)
        END AS discount_reporting
    FROM dated
    LEFT JOIN resolved_customer_links ON dated.known_as = resolved_customer_links.old_id
    LEFT JOIN daily_rates ON dated.foreign_currency = daily_rates.currency AND dated.day = daily_rates.day
)
SELECT
    customer_id,
    day,
    revenue_reporting,
    discount_reporting,
    order_id,
    sku,
    channel,
    original_order_id,
    returned_on,
    source_customer_id,
    ordered_at,
    ordered_at_text,
    revenue,
    revenue_text,
    line_currency AS currency,
    CASE
        -- staging writes this in place of the ids of customers who were erased, see sql/privacy.py
        WHEN source_customer_id = 'regulars:erased' THEN 'erased_customer'
        WHEN revenue IS NULL THEN 'unreadable_revenue'
        WHEN ordered_at IS NULL THEN 'unreadable_date'
        WHEN day > getvariable('as_of') THEN 'after_as_of'
        WHEN known_as IS NULL OR trim(known_as) = '' THEN 'missing_customer'
        WHEN revenue_reporting IS NULL THEN 'missing_exchange_rate'
        WHEN NOT coalesce(is_product, TRUE) THEN 'non_product'
        WHEN getvariable('duplicates') = 'set_aside' AND copy > 1 THEN 'duplicate_line'
        WHEN getvariable('zero_revenue') = 'set_aside' AND revenue = 0 THEN 'zero_revenue'
        WHEN getvariable('refunds') = 'ignore' AND revenue < 0 THEN 'refund_ignored'
        ELSE ''
    END AS reason,
    revenue IS NOT NULL
        AND coalesce(source_customer_id <> 'regulars:erased', TRUE)
        AND ordered_at IS NOT NULL
        AND day <= getvariable('as_of')
        -- an id that starts above the space needs no trimming; CASE, for OR would trim it all the same
        AND CASE WHEN known_as >= '!' THEN TRUE ELSE coalesce(trim(known_as) <> '', FALSE) END
        AND (is_reporting_currency OR revenue_reporting IS NOT NULL)
        AND coalesce(is_product, TRUE)
        AND (getvariable('duplicates') = 'keep' OR copy = 1)
        AND (getvariable('zero_revenue') = 'keep' OR revenue <> 0)
        AND (getvariable('refunds') = 'net' OR revenue >= 0) AS is_used
FROM priced;

CREATE OR REPLACE VIEW priced_lines AS
WITH items AS (
    SELECT
        sku,
        min(CASE WHEN getvariable('item_level') = 'style_color' THEN style_color END) AS style_color,
        min(unit_cost) AS unit_cost,
        min(category_1) AS category_1,
        min(category_2) AS category_2,
        min(category_3) AS category_3
    FROM products
    GROUP BY sku
),
numbered AS (
    SELECT
        *,
        -- only computed where duplicates are set aside: the planner drops it otherwise
        row_number() OVER (
            PARTITION BY
                customer_id, ordered_at, ordered_at_text, revenue, revenue_text, order_id, sku, quantity, unit_price,
                list_price, unit_cost, discount, store_id, channel, currency, returned_at, original_order_id,
                is_product
            ORDER BY ordered_at
        ) AS copy
    FROM order_lines
),
dated AS (
    SELECT
        coalesce(items.style_color, numbered.sku) AS item,
        numbered.sku,
        coalesce(numbered.store_id, '') AS store_id,
        CAST(numbered.ordered_at AS DATE) AS day,
        numbered.quantity,
        numbered.revenue,
        numbered.discount,
        -- one digit wider: DuckDB keeps DECIMAL(18) times DECIMAL(18) in 18 digits
        CAST(numbered.unit_price AS DECIMAL(19, 4)) AS unit_price,
        CAST(numbered.list_price AS DECIMAL(19, 4)) AS list_price,
        CAST(coalesce(numbered.unit_cost, items.unit_cost) AS DECIMAL(19, 4)) AS unit_cost,
        coalesce(numbered.currency = getvariable('currency'), TRUE) AS is_reporting_currency,
        numbered.currency,
        numbered.is_product,
        numbered.copy,
        items.category_1,
        items.category_2,
        items.category_3
    FROM numbered
    LEFT JOIN items ON numbered.sku = items.sku
),
valued AS (
    SELECT
        dated.*,
        CASE WHEN is_reporting_currency THEN CAST(1 AS DECIMAL(18, 8)) ELSE daily_rates.rate END AS rate,
        coalesce(
            TRY_CAST(round(dated.unit_price * dated.quantity, 4) AS DECIMAL(19, 4)),
            CAST(dated.revenue AS DECIMAL(19, 4))
        ) AS paid,
        TRY_CAST(round(dated.list_price * dated.quantity, 4) AS DECIMAL(19, 4)) AS listed,
        TRY_CAST(round(dated.unit_cost * dated.quantity, 4) AS DECIMAL(19, 4)) AS spent
    FROM dated
    LEFT JOIN daily_rates ON dated.currency = daily_rates.currency AND dated.day = daily_rates.day
)
SELECT
    item,
    sku,
    store_id,
    day,
    CASE WHEN getvariable('period') = 'day' THEN day ELSE CAST(date_trunc('week', day) AS DATE) END AS week,
    quantity,
    TRY_CAST(round(CAST(revenue AS DECIMAL(19, 2)) * rate, 2) AS DECIMAL(18, 2)) AS revenue,
    TRY_CAST(round(paid * rate, 4) AS DECIMAL(19, 4)) AS paid,
    -- a list price below what was paid is none
    TRY_CAST(
        round(
            CASE WHEN listed >= paid THEN listed WHEN listed IS NULL AND discount >= 0 THEN paid + discount END * rate, 4
        ) AS DECIMAL(19, 4)
    ) AS listed,
    -- the cost of a product is in the reporting currency already where the line does not say it
    TRY_CAST(round(spent * rate, 4) AS DECIMAL(19, 4)) AS spent,
    category_1,
    category_2,
    category_3,
    coalesce(
        getvariable('category') = '' OR category_1 = getvariable('category') OR category_2 = getvariable('category') OR category_3 = getvariable('category'), FALSE
    ) AS in_category,
    CASE
        WHEN day IS NULL THEN 'unreadable_date'
        WHEN day > getvariable('as_of') THEN 'after_as_of'
        WHEN item IS NULL OR trim(item) = '' THEN 'missing_item'
        WHEN NOT coalesce(is_product, TRUE) THEN 'non_product'
        WHEN getvariable('duplicates') = 'set_aside' AND copy > 1 THEN 'duplicate_line'
        WHEN quantity < 0 OR revenue < 0 THEN 'return_line'
        WHEN quantity IS NULL OR quantity = 0 THEN 'missing_units'
        WHEN paid IS NULL THEN 'missing_price'
        WHEN paid <= 0 THEN 'no_positive_price'
        WHEN rate IS NULL THEN 'missing_exchange_rate'
        ELSE ''
    END AS reason
FROM valued;

CREATE OR REPLACE VIEW campaign_features AS
WITH moments AS (
    -- counted are the days before a send, and before the day after the as-of date
    SELECT customer_id, sent_on AS moment, 0 AS later FROM campaign_recipients
    UNION ALL
    SELECT DISTINCT customer_id, getvariable('as_of') AS moment, 1 AS later
    FROM customer_days
    WHERE getvariable('campaign') = '' AND day <= getvariable('as_of')
),
history AS (
    SELECT
        moments.customer_id,
        date_diff('day', customer_days.day, moments.moment) + moments.later AS days_before,
        customer_days.orders,
        customer_days.revenue,
        customer_days.discount
    FROM moments
    JOIN customer_days ON moments.customer_id = customer_days.customer_id
),
bought AS (
    SELECT
        customer_id,
        count(*) AS purchase_days,
        max(days_before) AS first_before,
        min(days_before) AS last_before,
        sum(orders) AS orders,
        sum(revenue) AS revenue,
        sum(discount) AS discount,
        arg_max(revenue, days_before) AS first_order_revenue,
        sum(CASE WHEN days_before <= 28 THEN orders ELSE 0 END) AS orders_28,
        sum(CASE WHEN days_before <= 91 THEN orders ELSE 0 END) AS orders_91,
        sum(CASE WHEN days_before <= 364 THEN orders ELSE 0 END) AS orders_364,
        sum(CASE WHEN days_before <= 28 THEN revenue ELSE 0 END) AS revenue_28,
        sum(CASE WHEN days_before <= 91 THEN revenue ELSE 0 END) AS revenue_91,
        sum(CASE WHEN days_before <= 364 THEN revenue ELSE 0 END) AS revenue_364
    FROM history
    WHERE history.days_before > 0
    GROUP BY customer_id
),
came_back AS (
    SELECT moments.customer_id, -sum(return_lines.revenue_reporting) AS refunded
    FROM moments
    JOIN return_lines ON moments.customer_id = return_lines.customer_id
    WHERE date_diff('day', return_lines.day, moments.moment) + moments.later > 0
    GROUP BY moments.customer_id
),
opened AS (
    SELECT
        coalesce(resolved_customer_links.customer_id, customers.customer_id) AS customer_id,
        min(CAST(customers.joined_at AS DATE)) AS joined_on
    FROM customers
    LEFT JOIN resolved_customer_links ON customers.customer_id = resolved_customer_links.old_id
    GROUP BY coalesce(resolved_customer_links.customer_id, customers.customer_id)
)
SELECT
    moments.customer_id,
    bought.purchase_days - 1 AS frequency,
    CAST(bought.first_before - bought.last_before AS BIGINT) AS recency_days,
    CAST(bought.first_before AS BIGINT) AS T_days,
    CAST(bought.last_before AS BIGINT) AS days_since_last_order,
    coalesce(
        CAST(bought.revenue - bought.first_order_revenue AS DOUBLE) / nullif(bought.purchase_days - 1, 0), 0
    ) AS monetary_value,
    CAST(bought.first_order_revenue AS DOUBLE) AS first_order_revenue,
    CAST(coalesce(bought.orders, 0) AS BIGINT) AS orders_ever,
    CAST(coalesce(bought.orders_28, 0) AS BIGINT) AS orders_28,
    CAST(coalesce(bought.orders_91, 0) AS BIGINT) AS orders_91,
    CAST(coalesce(bought.orders_364, 0) AS BIGINT) AS orders_364,
    CAST(coalesce(bought.revenue, 0) AS DOUBLE) AS revenue_ever,
    CAST(coalesce(bought.revenue_28, 0) AS DOUBLE) AS revenue_28,
    CAST(coalesce(bought.revenue_91, 0) AS DOUBLE) AS revenue_91,
    CAST(coalesce(bought.revenue_364, 0) AS DOUBLE) AS revenue_364,
    CAST(coalesce(bought.discount, 0) AS DOUBLE) AS discount_ever,
    CAST(coalesce(came_back.refunded, 0) AS DOUBLE) AS refunded_ever,
    CASE
        WHEN date_diff('day', opened.joined_on, moments.moment) + moments.later > 0
            THEN CAST(date_diff('day', opened.joined_on, moments.moment) + moments.later AS BIGINT)
    END AS days_since_joined
FROM moments
LEFT JOIN bought ON moments.customer_id = bought.customer_id
LEFT JOIN came_back ON moments.customer_id = came_back.customer_id
LEFT JOIN opened ON moments.customer_id = opened.customer_id;

CREATE OR REPLACE VIEW campaign_outcomes AS
WITH bought AS (
    SELECT
        campaign_recipients.customer_id,
        sum(customer_days.orders) AS orders,
        sum(customer_days.revenue - customer_days.returned_revenue) AS revenue
    FROM campaign_recipients
    JOIN customer_days ON campaign_recipients.customer_id = customer_days.customer_id
    WHERE
        date_diff('day', campaign_recipients.sent_on, customer_days.day) >= 0
        AND date_diff('day', campaign_recipients.sent_on, customer_days.day) < getvariable('window_days')
    GROUP BY campaign_recipients.customer_id
),
judged AS (
    SELECT
        campaign_recipients.customer_id,
        campaign_recipients.arm,
        campaign_recipients.sent_on,
        campaign_recipients.propensity,
        date_diff('day', campaign_recipients.sent_on, getvariable('as_of')) >= getvariable('window_days') - 1 AS is_over,
        coalesce(bought.orders, 0) AS orders,
        coalesce(bought.revenue, 0) AS revenue
    FROM campaign_recipients
    LEFT JOIN bought ON campaign_recipients.customer_id = bought.customer_id
)
SELECT
    customer_id,
    arm,
    sent_on,
    propensity,
    CASE WHEN is_over THEN CAST(revenue AS DOUBLE) END AS revenue,
    CASE WHEN is_over THEN CAST(orders AS BIGINT) END AS orders,
    CASE WHEN is_over THEN orders > 0 END AS ordered
FROM judged;

CREATE OR REPLACE VIEW campaign_signals AS
WITH moments AS (
    -- a day counts where it lies at least one day before the moment; the as-of date's moment is the day after it
    SELECT customer_id, sent_on AS moment, getvariable('window_days') AS later
    FROM campaign_recipients
    WHERE date_diff('day', sent_on, getvariable('as_of')) >= getvariable('window_days') - 1
    UNION ALL
    SELECT DISTINCT customer_id, getvariable('as_of') AS moment, 1 AS later
    FROM customer_days
    WHERE getvariable('campaign') = '' AND day <= getvariable('as_of')
),
history AS (
    SELECT
        moments.customer_id,
        date_diff('day', customer_days.day, moments.moment) + moments.later AS days_before,
        customer_days.revenue - customer_days.returned_revenue AS revenue
    FROM moments
    JOIN customer_days ON moments.customer_id = customer_days.customer_id
),
shown AS (
    SELECT
        customer_id,
        count(*) AS purchase_days,
        max(days_before) AS first_before,
        min(days_before) AS last_before,
        sum(revenue) AS revenue,
        arg_max(revenue, days_before) AS first_revenue,
        sum(CASE WHEN days_before <= getvariable('window_days') THEN 1 ELSE 0 END) AS window_purchase_days,
        sum(CASE WHEN days_before <= getvariable('window_days') THEN revenue ELSE 0 END) AS window_revenue
    FROM history
    WHERE history.days_before > 0
    GROUP BY customer_id
)
SELECT
    customer_id,
    purchase_days - 1 AS frequency,
    CAST(first_before - last_before AS BIGINT) AS recency_days,
    CAST(first_before - 1 AS BIGINT) AS T_days,
    coalesce(CAST(revenue - first_revenue AS DOUBLE) / nullif(purchase_days - 1, 0), 0) AS monetary_value,
    CAST(window_purchase_days AS BIGINT) AS window_purchase_days,
    CAST(window_revenue AS DOUBLE) AS window_revenue
FROM shown
WHERE first_before > getvariable('window_days');

CREATE OR REPLACE VIEW gap_features AS
WITH categories AS (
    SELECT sku, min(category_1) AS category FROM products GROUP BY sku
),
sold AS (
    SELECT
        judged_order_lines.customer_id,
        judged_order_lines.day AS starts,
        judged_order_lines.sku,
        judged_order_lines.channel,
        categories.category,
        judged_order_lines.revenue_reporting AS money
    FROM judged_order_lines
    LEFT JOIN categories ON judged_order_lines.sku = categories.sku
    WHERE judged_order_lines.is_used AND judged_order_lines.revenue >= 0
),
baskets AS (
    SELECT
        customer_id,
        starts,
        count(DISTINCT sku) AS products,
        count(DISTINCT category) AS categories,
        sum(money) AS money
    FROM sold
    GROUP BY customer_id, starts
),
by_category AS (
    SELECT
        customer_id,
        starts,
        category,
        sum(money) AS money,
        row_number() OVER (PARTITION BY customer_id, starts ORDER BY sum(money) DESC, category) AS place
    FROM sold
    WHERE sold.category IS NOT NULL
    GROUP BY customer_id, starts, category
),
by_channel AS (
    SELECT
        customer_id,
        starts,
        channel,
        row_number() OVER (PARTITION BY customer_id, starts ORDER BY sum(money) DESC, channel) AS place
    FROM sold
    WHERE sold.channel IS NOT NULL
    GROUP BY customer_id, starts, channel
)
SELECT
    baskets.customer_id,
    baskets.starts,
    CAST(baskets.products AS BIGINT) AS products,
    CAST(baskets.categories AS BIGINT) AS categories,
    by_category.category AS main_category,
    CAST(by_category.money AS DOUBLE) / nullif(CAST(baskets.money AS DOUBLE), 0) AS main_category_share,
    by_channel.channel AS main_channel
FROM baskets
LEFT JOIN by_category
    ON baskets.customer_id = by_category.customer_id AND baskets.starts = by_category.starts AND by_category.place = 1
LEFT JOIN by_channel
    ON baskets.customer_id = by_channel.customer_id AND baskets.starts = by_channel.starts AND by_channel.place = 1;

CREATE OR REPLACE VIEW item_weeks AS
WITH named AS (
    SELECT
        sku,
        coalesce(min(CASE WHEN getvariable('item_level') = 'style_color' THEN style_color END), sku) AS item,
        min(launched_on) AS launched_on
    FROM products
    GROUP BY sku
),
launched AS (
    SELECT item, CAST(date_trunc('week', min(launched_on)) AS DATE) AS launch_week FROM named GROUP BY item
),
counted AS (
    SELECT
        *,
        CASE WHEN getvariable('stores') = 'apart' THEN store_id ELSE '' END AS store
    FROM priced_lines
    WHERE reason = '' AND in_category
),
classed AS (
    SELECT
        item, min(category_1) AS category_1, min(category_2) AS category_2, min(category_3) AS category_3,
        min(week) AS first_sold
    FROM counted
    GROUP BY item
),
sold AS (
    SELECT
        item,
        store,
        week,
        sum(quantity) AS units,
        sum(revenue) AS revenue,
        CAST(sum(paid) AS DOUBLE) / nullif(CAST(sum(quantity) AS DOUBLE), 0) AS price,
        CAST(sum(CASE WHEN listed IS NOT NULL THEN listed END) AS DOUBLE)
            / nullif(CAST(sum(CASE WHEN listed IS NOT NULL THEN quantity END) AS DOUBLE), 0) AS list_price,
        CAST(sum(CASE WHEN spent IS NOT NULL THEN spent END) AS DOUBLE)
            / nullif(CAST(sum(CASE WHEN spent IS NOT NULL THEN quantity END) AS DOUBLE), 0) AS unit_cost
    FROM counted
    GROUP BY item, store, week
),
elsewhere AS (
    SELECT item, week, CAST(sum(paid) AS DOUBLE) / nullif(CAST(sum(quantity) AS DOUBLE), 0) AS price
    FROM counted
    GROUP BY item, week
),
weeks AS (
    -- whenever the shop sold anything, of this category or not
    SELECT DISTINCT week FROM priced_lines WHERE reason = ''
),
spans AS (
    SELECT item, store, min(week) AS first_week, max(week) AS last_week FROM sold GROUP BY item, store
),
grid AS (
    SELECT spans.item, spans.store, weeks.week
    FROM spans
    JOIN weeks ON weeks.week >= spans.first_week AND weeks.week <= spans.last_week
),
laid AS (
    SELECT
        grid.item,
        grid.store,
        grid.week,
        sold.units,
        sold.revenue,
        sold.price AS paid_price,
        coalesce(sold.price, elsewhere.price) AS seen_price,
        sold.list_price,
        sold.unit_cost,
        count(coalesce(sold.price, elsewhere.price)) OVER by_week AS price_run,
        count(sold.list_price) OVER by_week AS list_run,
        count(sold.unit_cost) OVER by_week AS cost_run
    FROM grid
    LEFT JOIN sold ON grid.item = sold.item AND grid.store = sold.store AND grid.week = sold.week
    LEFT JOIN elsewhere ON grid.item = elsewhere.item AND grid.week = elsewhere.week
    WINDOW by_week AS (PARTITION BY grid.item, grid.store ORDER BY grid.week)
),
carried AS (
    SELECT
        *,
        max(seen_price) OVER (PARTITION BY item, store, price_run) AS last_price,
        max(list_price) OVER (PARTITION BY item, store, list_run) AS last_list,
        max(unit_cost) OVER (PARTITION BY item, store, cost_run) AS last_cost,
        max(seen_price) OVER (PARTITION BY item, store ORDER BY week ROWS BETWEEN 8 PRECEDING AND CURRENT ROW)
            AS recent_highest
    FROM laid
),
ruled AS (
    SELECT
        *,
        CASE
            WHEN paid_price IS NOT NULL THEN 'sold'
            WHEN getvariable('unsold') = 'missing' THEN 'missing'
            WHEN seen_price IS NOT NULL THEN 'other_stores'
            WHEN getvariable('unsold') = 'regular' THEN 'regular'
            ELSE 'carried'
        END AS price_rule,
        CASE WHEN last_list IS NOT NULL THEN 'list' ELSE 'recent_highest' END AS regular_rule,
        coalesce(last_list, recent_highest, last_price) AS regular
    FROM carried
),
-- who sells what, and from when to when: whose stock an item's whole stock is made of
sellers AS (
    SELECT item, store, sku, store_id AS shop, min(week) AS first_week, max(week) AS last_week
    FROM counted
    GROUP BY item, store, sku, store_id
),
stock_rows AS (
    SELECT
        stock.sku,
        coalesce(named.item, stock.sku) AS item,
        coalesce(stock.store_id, '') AS shop,
        CAST(date_trunc('week', stock.week) AS DATE) AS week,
        stock.week AS day,
        stock.on_hand
    FROM stock
    LEFT JOIN named ON stock.sku = named.sku
    WHERE getvariable('period') = 'week'
),
begun AS (
    SELECT sku, shop, week, min(day) AS day FROM stock_rows GROUP BY sku, shop, week
),
-- the week begins with the first of its rows; two of that day that differ are a mistake, two that agree are one
counts AS (
    SELECT
        stock_rows.item,
        stock_rows.sku,
        stock_rows.shop,
        stock_rows.week,
        min(stock_rows.on_hand) AS on_hand,
        CASE
            WHEN count(*) > count(stock_rows.on_hand) THEN 'unreadable'
            WHEN min(stock_rows.on_hand) < 0 THEN 'negative'
            WHEN min(stock_rows.on_hand) <> max(stock_rows.on_hand) THEN 'repeated'
            ELSE ''
        END AS fault
    FROM stock_rows
    JOIN begun
        ON stock_rows.sku = begun.sku
        AND stock_rows.shop = begun.shop
        AND stock_rows.week = begun.week
        AND stock_rows.day = begun.day
    GROUP BY stock_rows.item, stock_rows.sku, stock_rows.shop, stock_rows.week
),
stocked AS (
    SELECT
        item,
        CASE WHEN getvariable('stores') = 'apart' THEN shop ELSE '' END AS store,
        week,
        sum(on_hand) AS on_hand,
        -- the first of the alphabet speaks where there are several
        min(CASE WHEN fault <> '' THEN fault END) AS fault
    FROM counts
    GROUP BY 1, 2, 3
),
stock_weeks AS (
    SELECT DISTINCT item, week FROM counts
),
stocked_skus AS (
    SELECT sku, week, max(CASE WHEN shop = '' THEN 1 ELSE 0 END) AS shared FROM counts GROUP BY sku, week
),
covered AS (
    SELECT
        sellers.item,
        sellers.store,
        stock_weeks.week,
        count(*) AS sellers,
        sum(
            CASE
                WHEN own.sku IS NOT NULL THEN 1
                -- stock that all stores share is the whole of them together, and of none alone
                WHEN getvariable('stores') = 'apart' THEN 0
                WHEN stocked_skus.shared = 1 THEN 1
                WHEN sellers.shop = '' AND stocked_skus.sku IS NOT NULL THEN 1
                ELSE 0
            END
        ) AS known,
        max(coalesce(stocked_skus.shared, 0)) AS shared
    FROM sellers
    JOIN stock_weeks
        ON sellers.item = stock_weeks.item
        AND stock_weeks.week >= sellers.first_week
        AND stock_weeks.week <= sellers.last_week
    LEFT JOIN counts AS own ON sellers.sku = own.sku AND sellers.shop = own.shop AND stock_weeks.week = own.week
    LEFT JOIN stocked_skus ON sellers.sku = stocked_skus.sku AND stock_weeks.week = stocked_skus.week
    GROUP BY sellers.item, sellers.store, stock_weeks.week
),
counted_stock AS (
    SELECT
        ruled.item,
        ruled.store,
        ruled.week,
        CASE
            WHEN stocked.fault IS NOT NULL THEN stocked.fault
            WHEN stocked.item IS NULL AND covered.shared = 1 THEN 'shared'
            WHEN stocked.item IS NULL THEN 'none'
            WHEN covered.known < covered.sellers THEN 'part'
            ELSE 'known'
        END AS stock_rule,
        CASE
            WHEN stocked.fault IS NULL AND coalesce(covered.known, 0) >= coalesce(covered.sellers, 0)
                THEN stocked.on_hand
        END AS on_hand
    FROM ruled
    LEFT JOIN stocked
        ON ruled.item = stocked.item
        AND ruled.store = stocked.store
        AND ruled.week = stocked.week
    LEFT JOIN covered
        ON ruled.item = covered.item
        AND ruled.store = covered.store
        AND ruled.week = covered.week
),
-- promotions of every category are most of their rows: those of these items are found before anything is made of them
shown_skus AS (
    SELECT named.sku FROM named SEMI JOIN classed ON named.item = classed.item
    UNION
    SELECT item AS sku FROM classed
),
flagged AS (
    SELECT
        coalesce(named.item, promotions.sku) AS item,
        promotions.store_id,
        CAST(date_trunc('week', promotions.week) AS DATE) AS week,
        -- a cost below zero is a mistake: it is not known
        CASE WHEN promotions.promotion_cost >= 0 THEN promotions.promotion_cost END AS promotion_cost,
        lower(trim(coalesce(promotions.display, '0'))) NOT IN ('', '0', 'no', 'false') AS display,
        lower(trim(coalesce(promotions.mailer, '0'))) NOT IN ('', '0', 'no', 'false') AS mailer
    FROM promotions
    SEMI JOIN shown_skus ON promotions.sku = shown_skus.sku
    LEFT JOIN named ON promotions.sku = named.sku
),
costed AS (
    SELECT count(promotion_cost) AS known FROM promotions
),
promoting AS (
    SELECT CAST(date_trunc('week', week) AS DATE) AS week, count(DISTINCT store_id) AS stores
    FROM (SELECT DISTINCT week, store_id FROM promotions) AS weeks_of_stores
    GROUP BY 1
),
shown AS (
    SELECT
        flagged.item,
        CASE WHEN getvariable('stores') = 'apart' THEN coalesce(flagged.store_id, '') ELSE '' END AS store,
        flagged.week,
        count(DISTINCT CASE WHEN display THEN flagged.store_id END) AS display_stores,
        count(DISTINCT CASE WHEN mailer THEN flagged.store_id END) AS mailer_stores,
        max(CASE WHEN display AND flagged.store_id IS NULL THEN 1 ELSE 0 END) AS display_all,
        max(CASE WHEN mailer AND flagged.store_id IS NULL THEN 1 ELSE 0 END) AS mailer_all,
        CAST(max(flagged.promotion_cost) AS DOUBLE) AS promotion_cost
    FROM flagged
    SEMI JOIN classed ON flagged.item = classed.item
    GROUP BY 1, 2, 3
)
SELECT
    ruled.item,
    ruled.store AS store_id,
    ruled.week,
    CAST(coalesce(ruled.units, 0) AS DOUBLE) AS units,
    CAST(coalesce(ruled.revenue, 0) AS DECIMAL(18, 2)) AS revenue,
    CASE ruled.price_rule
        WHEN 'missing' THEN CAST(NULL AS DOUBLE)
        WHEN 'regular' THEN ruled.regular
        WHEN 'carried' THEN ruled.last_price
        ELSE ruled.seen_price
    END AS price,
    ruled.price_rule,
    ruled.regular AS regular_price,
    ruled.regular_rule,
    CASE ruled.price_rule
        WHEN 'missing' THEN CAST(NULL AS DOUBLE)
        WHEN 'regular' THEN CAST(0 AS DOUBLE)
        WHEN 'carried' THEN 1 - ruled.last_price / nullif(ruled.regular, 0)
        ELSE 1 - ruled.seen_price / nullif(ruled.regular, 0)
    END AS discount,
    CASE ruled.price_rule
        WHEN 'missing' THEN FALSE
        WHEN 'regular' THEN FALSE
        WHEN 'carried' THEN coalesce(1 - ruled.last_price / nullif(ruled.regular, 0) >= getvariable('promoted_from'), FALSE)
        ELSE coalesce(1 - ruled.seen_price / nullif(ruled.regular, 0) >= getvariable('promoted_from'), FALSE)
    END AS promoted,
    coalesce(
        greatest(
            CAST(own.display_stores AS DOUBLE) / nullif(CASE WHEN getvariable('stores') = 'apart' THEN 1 ELSE promoting.stores END, 0),
            CAST(own.display_all AS DOUBLE),
            CAST(anywhere.display_all AS DOUBLE)
        ),
        CAST(own.display_all AS DOUBLE), CAST(anywhere.display_all AS DOUBLE), CAST(0 AS DOUBLE)
    ) AS display,
    coalesce(
        greatest(
            CAST(own.mailer_stores AS DOUBLE) / nullif(CASE WHEN getvariable('stores') = 'apart' THEN 1 ELSE promoting.stores END, 0),
            CAST(own.mailer_all AS DOUBLE),
            CAST(anywhere.mailer_all AS DOUBLE)
        ),
        CAST(own.mailer_all AS DOUBLE), CAST(anywhere.mailer_all AS DOUBLE), CAST(0 AS DOUBLE)
    ) AS mailer,
    CAST(counted_stock.on_hand AS DOUBLE) AS on_hand,
    coalesce(ruled.units, 0) >= counted_stock.on_hand AS sold_out,
    counted_stock.stock_rule,
    CASE WHEN ruled.last_cost > 0 THEN ruled.last_cost END AS unit_cost,
    CASE WHEN costed.known > 0
        THEN coalesce(own.promotion_cost, anywhere.promotion_cost, CAST(0 AS DOUBLE))
    END AS promotion_cost,
    CAST(
        greatest(date_diff('day', coalesce(launched.launch_week, classed.first_sold), ruled.week), 0) // 7 AS BIGINT
    ) AS age_weeks,
    classed.category_1,
    classed.category_2,
    classed.category_3
FROM ruled
JOIN classed ON ruled.item = classed.item
CROSS JOIN costed
LEFT JOIN launched ON ruled.item = launched.item
LEFT JOIN counted_stock
    ON ruled.item = counted_stock.item
    AND ruled.store = counted_stock.store
    AND ruled.week = counted_stock.week
LEFT JOIN promoting ON CAST(date_trunc('week', ruled.week) AS DATE) = promoting.week
LEFT JOIN shown AS own
    ON ruled.item = own.item
    AND ruled.store = own.store
    AND CAST(date_trunc('week', ruled.week) AS DATE) = own.week
-- rows of the promotions without a store speak of every store
LEFT JOIN shown AS anywhere
    ON ruled.item = anywhere.item
    AND anywhere.store = ''
    AND CAST(date_trunc('week', ruled.week) AS DATE) = anywhere.week
WHERE getvariable('unsold') <> 'left_out' OR ruled.price_rule = 'sold';

CREATE OR REPLACE VIEW panel_lines_dropped AS
SELECT
    reason,
    count(*) AS lines,
    CAST(coalesce(sum(quantity), 0) AS DECIMAL(18, 3)) AS units,
    CAST(coalesce(sum(revenue), 0) AS DECIMAL(18, 2)) AS revenue
FROM priced_lines
WHERE in_category
GROUP BY reason;

CREATE OR REPLACE VIEW refund_lines AS
SELECT
    customer_id,
    day,
    ordered_at,
    sku,
    order_id,
    original_order_id,
    source_customer_id,
    currency,
    count(*) AS lines,
    CAST(sum(revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(revenue_reporting) AS DECIMAL(18, 2)) AS revenue_reporting
FROM judged_order_lines
WHERE is_used AND judged_order_lines.revenue < 0
GROUP BY
    customer_id, day, ordered_at, sku, order_id, original_order_id, source_customer_id, currency,
    judged_order_lines.revenue
UNION ALL
SELECT
    customer_id, day, ordered_at, sku, order_id, original_order_id, source_customer_id, currency, lines, revenue,
    revenue_reporting
FROM previous_return_lines;

CREATE OR REPLACE VIEW sale_days AS
SELECT
    customer_id,
    day,
    greatest(count(order_id), 1) AS orders,
    CAST(sum(lines) AS BIGINT) AS lines,
    CAST(sum(revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(discount) AS DECIMAL(18, 2)) AS discount
FROM (
    SELECT
        customer_id,
        day,
        order_id,
        count(*) AS lines,
        sum(revenue_reporting) AS revenue,
        sum(discount_reporting) AS discount
    FROM judged_order_lines
    WHERE is_used AND judged_order_lines.revenue >= 0
    GROUP BY customer_id, day, order_id
) AS sale_orders
GROUP BY customer_id, day;

CREATE OR REPLACE VIEW stock_on_hand AS
WITH named AS (
    SELECT sku, coalesce(min(CASE WHEN getvariable('item_level') = 'style_color' THEN style_color END), sku) AS item
    FROM products
    GROUP BY sku
),
known AS (
    SELECT
        stock.sku,
        coalesce(named.item, stock.sku) AS item,
        coalesce(stock.store_id, '') AS shop,
        stock.week AS day,
        stock.on_hand
    FROM stock
    LEFT JOIN named ON stock.sku = named.sku
    WHERE stock.week <= CAST(getvariable('as_of') + CAST(getvariable('days_ahead') AS INTEGER) AS DATE) AND stock.on_hand IS NOT NULL
),
newest AS (
    SELECT
        item,
        sku,
        shop,
        max(day) AS day,
        max(max(day)) OVER (PARTITION BY item, CASE WHEN getvariable('stores') = 'apart' THEN shop ELSE '' END) AS last_day
    FROM known
    GROUP BY item, sku, shop
),
counts AS (
    SELECT known.item, known.sku, known.shop, known.day, min(known.on_hand) AS on_hand
    FROM known
    JOIN newest ON known.sku = newest.sku AND known.shop = newest.shop AND known.day = newest.day
    WHERE
        newest.day >= CAST(getvariable('as_of') - CAST(getvariable('days_behind') AS INTEGER) AS DATE)
        OR newest.last_day < CAST(getvariable('as_of') - CAST(getvariable('days_behind') AS INTEGER) AS DATE)
    GROUP BY known.item, known.sku, known.shop, known.day
),
sales AS (
    SELECT sku, store_id AS shop, day, sum(quantity) AS units
    FROM priced_lines
    -- what left the shelf at a price that is not known has left it, too
    WHERE reason IN ('', 'missing_price', 'no_positive_price', 'missing_exchange_rate')
    GROUP BY sku, store_id, day
),
placed AS (
    SELECT
        sales.sku,
        sales.day,
        sales.units,
        sales.shop,
        CASE WHEN own.sku IS NOT NULL THEN own.shop WHEN shared.sku IS NOT NULL THEN '' END AS taken_from
    FROM sales
    LEFT JOIN counts AS own ON sales.sku = own.sku AND sales.shop = own.shop
    LEFT JOIN counts AS shared ON sales.sku = shared.sku AND shared.shop = ''
),
sold AS (
    SELECT counts.sku, counts.shop, sum(placed.units) AS units
    FROM counts
    JOIN placed ON counts.sku = placed.sku AND counts.shop = placed.taken_from AND placed.day >= counts.day
    GROUP BY counts.sku, counts.shop
),
first_counts AS (
    SELECT item, sku, min(day) AS day FROM counts GROUP BY item, sku
),
nowhere AS (
    -- order lines that do not say from which store they came
    SELECT first_counts.item, sum(placed.units) AS units
    FROM first_counts
    JOIN placed ON first_counts.sku = placed.sku AND placed.day >= first_counts.day
    WHERE placed.taken_from IS NULL AND placed.shop = ''
    GROUP BY first_counts.item
),
added AS (
    SELECT
        counts.item,
        CASE WHEN getvariable('stores') = 'apart' THEN counts.shop ELSE '' END AS store_id,
        max(counts.day) AS week,
        sum(counts.on_hand) AS counted,
        min(counts.on_hand) AS least,
        sum(coalesce(sold.units, 0)) AS sold,
        sum(greatest(counts.on_hand - coalesce(sold.units, 0), 0)) AS on_hand
    FROM counts
    LEFT JOIN sold ON counts.sku = sold.sku AND counts.shop = sold.shop
    GROUP BY 1, 2
)
SELECT
    added.item,
    added.store_id,
    added.week,
    CAST(added.counted AS DECIMAL(18, 3)) AS counted,
    CAST(added.least AS DECIMAL(18, 3)) AS least,
    CAST(added.sold + coalesce(nowhere.units, 0) AS DECIMAL(18, 3)) AS sold,
    CAST(greatest(added.on_hand - coalesce(nowhere.units, 0), 0) AS DECIMAL(18, 3)) AS on_hand
FROM added
LEFT JOIN nowhere ON added.store_id = '' AND added.item = nowhere.item;

CREATE OR REPLACE VIEW units_without_rate AS
SELECT
    item,
    CAST(sum(CASE WHEN reason = 'missing_exchange_rate' THEN quantity ELSE 0 END) AS DECIMAL(18, 3)) AS units,
    CAST(sum(CASE WHEN reason = 'missing_exchange_rate' THEN quantity ELSE 0 END) AS DOUBLE)
        / nullif(CAST(sum(quantity) AS DOUBLE), 0) AS share
FROM priced_lines
WHERE reason IN ('', 'missing_exchange_rate')
GROUP BY item
HAVING count(CASE WHEN reason = 'missing_exchange_rate' THEN 1 END) > 0;

CREATE OR REPLACE VIEW unnamed_sale_days AS
SELECT
    customer_id,
    day,
    CAST(1 AS BIGINT) AS orders,
    count(*) AS lines,
    CAST(sum(revenue_reporting) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(discount_reporting) AS DECIMAL(18, 2)) AS discount
FROM judged_order_lines
WHERE is_used AND judged_order_lines.revenue >= 0
GROUP BY customer_id, day;

CREATE OR REPLACE VIEW returning_customers AS
SELECT customer_id FROM refund_lines
UNION
SELECT customer_id FROM previous_returnable_sales WHERE marked_returned > 0
UNION
SELECT customer_id
FROM judged_order_lines
WHERE is_used AND revenue > 0 AND returned_on <= getvariable('as_of') AND getvariable('refunds') = 'net';

CREATE OR REPLACE VIEW matchable_sales AS
WITH returned_products AS (
    SELECT DISTINCT customer_id, coalesce(sku, '') AS sku FROM refund_lines
),
returned_orders AS (
    SELECT DISTINCT customer_id, original_order_id AS order_id FROM refund_lines WHERE original_order_id <> ''
),
sales AS (
    SELECT
        customer_id,
        coalesce(sku, '') AS sku,
        coalesce(order_id, '') AS order_id,
        day,
        revenue_reporting AS revenue,
        CASE WHEN returned_on <= getvariable('as_of') AND getvariable('refunds') = 'net' THEN revenue_reporting ELSE 0 END AS marked_returned
    FROM judged_order_lines
    -- few customers send things back: all others are out at once
    SEMI JOIN returning_customers USING (customer_id)
    WHERE is_used AND judged_order_lines.revenue > 0
    UNION ALL
    SELECT customer_id, sku, order_id, day, revenue, marked_returned
    FROM previous_returnable_sales
    SEMI JOIN returning_customers USING (customer_id)
)
SELECT
    sales.customer_id,
    sales.sku,
    sales.order_id,
    sales.day,
    CAST(sum(sales.revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(sales.marked_returned) AS DECIMAL(18, 2)) AS marked_returned
FROM sales
LEFT JOIN returned_products
    ON sales.customer_id = returned_products.customer_id AND sales.sku = returned_products.sku
LEFT JOIN returned_orders
    ON sales.customer_id = returned_orders.customer_id AND sales.order_id = returned_orders.order_id
WHERE returned_products.customer_id IS NOT NULL
    OR returned_orders.customer_id IS NOT NULL
    OR sales.marked_returned > 0
GROUP BY sales.customer_id, sales.sku, sales.order_id, sales.day;

CREATE OR REPLACE VIEW return_matches AS
WITH events AS (
    SELECT
        customer_id,
        day,
        FALSE AS is_refund,
        sku,
        order_id,
        order_id AS named_order,
        CAST(NULL AS TIMESTAMP) AS ordered_at,
        CAST(NULL AS VARCHAR) AS original_order_id,
        CAST(NULL AS VARCHAR) AS source_customer_id,
        CAST(NULL AS VARCHAR) AS currency,
        CAST(NULL AS DECIMAL(18, 2)) AS revenue,
        CAST(1 AS BIGINT) AS lines,
        revenue AS amount,
        marked_returned AS settled
    FROM matchable_sales
    UNION ALL
    SELECT
        customer_id,
        day,
        TRUE AS is_refund,
        sku,
        order_id,
        coalesce(original_order_id, '') AS named_order,
        ordered_at,
        original_order_id,
        source_customer_id,
        currency,
        revenue,
        lines,
        -revenue_reporting AS amount,
        CAST(0 AS DECIMAL(18, 2)) AS settled
    FROM refund_lines
),
placed AS (
    SELECT
        *,
        coalesce(sku, '') AS product,
        row_number() OVER (
            PARTITION BY customer_id
            ORDER BY
                day, is_refund, ordered_at NULLS FIRST, order_id NULLS FIRST, sku NULLS FIRST,
                original_order_id NULLS FIRST, source_customer_id NULLS FIRST, currency NULLS FIRST, revenue NULLS FIRST
        ) AS place
    FROM events
),
named_orders AS (
    SELECT DISTINCT customer_id, named_order FROM events WHERE is_refund AND named_order <> ''
),
named AS (
    SELECT * FROM placed SEMI JOIN named_orders USING (customer_id, named_order)
),
-- round 1: the item of the order that the refund names
item_sums AS (
    SELECT
        *,
        sum(CASE WHEN is_refund THEN amount - settled ELSE settled - amount END) OVER so_far AS excess,
        sum(CASE WHEN is_refund THEN 0 ELSE amount - settled END) OVER so_far AS sold,
        sum(CASE WHEN is_refund THEN amount - settled ELSE 0 END) OVER pool AS refunded
    FROM named
    WINDOW
        pool AS (PARTITION BY customer_id, named_order, product),
        so_far AS (PARTITION BY customer_id, named_order, product ORDER BY place ROWS UNBOUNDED PRECEDING)
),
item_peaks AS (
    SELECT
        *,
        greatest(0, max(excess) OVER so_far) AS uncovered,
        greatest(0, coalesce(max(excess) OVER before, 0)) AS uncovered_before,
        refunded - greatest(0, max(excess) OVER pool) AS matched
    FROM item_sums
    WINDOW
        pool AS (PARTITION BY customer_id, named_order, product),
        so_far AS (PARTITION BY customer_id, named_order, product ORDER BY place ROWS UNBOUNDED PRECEDING),
        before AS (
            PARTITION BY customer_id, named_order, product ORDER BY place
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
),
item_settled AS (
    SELECT
        customer_id, day, is_refund, sku, order_id, named_order, ordered_at, original_order_id, source_customer_id,
        currency, revenue, lines, amount, product, place,
        CASE
            WHEN is_refund THEN amount - (uncovered - uncovered_before)
            ELSE settled + least(amount - settled, greatest(0, matched - (sold - (amount - settled))))
        END AS settled
    FROM item_peaks
),
-- round 2: the other items of that order
order_sums AS (
    SELECT
        *,
        sum(CASE WHEN is_refund THEN amount - settled ELSE settled - amount END) OVER so_far AS excess,
        sum(CASE WHEN is_refund THEN 0 ELSE amount - settled END) OVER so_far AS sold,
        sum(CASE WHEN is_refund THEN amount - settled ELSE 0 END) OVER pool AS refunded
    FROM item_settled
    WINDOW
        pool AS (PARTITION BY customer_id, named_order),
        so_far AS (PARTITION BY customer_id, named_order ORDER BY place ROWS UNBOUNDED PRECEDING)
),
order_peaks AS (
    SELECT
        *,
        greatest(0, max(excess) OVER so_far) AS uncovered,
        greatest(0, coalesce(max(excess) OVER before, 0)) AS uncovered_before,
        refunded - greatest(0, max(excess) OVER pool) AS matched
    FROM order_sums
    WINDOW
        pool AS (PARTITION BY customer_id, named_order),
        so_far AS (PARTITION BY customer_id, named_order ORDER BY place ROWS UNBOUNDED PRECEDING),
        before AS (
            PARTITION BY customer_id, named_order ORDER BY place
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
),
order_settled AS (
    SELECT
        customer_id, day, is_refund, sku, order_id, named_order, ordered_at, original_order_id, source_customer_id,
        currency, revenue, lines, amount, product, place,
        CASE
            WHEN is_refund THEN amount - (uncovered - uncovered_before)
            ELSE settled + least(amount - settled, greatest(0, matched - (sold - (amount - settled))))
        END AS settled
    FROM order_peaks
),
rest AS (
    SELECT * FROM order_settled
    UNION ALL
    SELECT
        customer_id, day, is_refund, sku, order_id, named_order, ordered_at, original_order_id, source_customer_id,
        currency, revenue, lines, amount, product, place, settled
    FROM placed
    ANTI JOIN named_orders USING (customer_id, named_order)
),
-- round 3: the customer's sales of the same product
product_sums AS (
    SELECT
        *,
        sum(CASE WHEN is_refund THEN amount - settled ELSE settled - amount END) OVER so_far AS excess,
        sum(CASE WHEN is_refund THEN 0 ELSE amount - settled END) OVER so_far AS sold,
        sum(CASE WHEN is_refund THEN amount - settled ELSE 0 END) OVER pool AS refunded
    FROM rest
    WINDOW
        pool AS (PARTITION BY customer_id, product),
        so_far AS (PARTITION BY customer_id, product ORDER BY place ROWS UNBOUNDED PRECEDING)
),
product_peaks AS (
    SELECT
        *,
        greatest(0, max(excess) OVER so_far) AS uncovered,
        greatest(0, coalesce(max(excess) OVER before, 0)) AS uncovered_before,
        refunded - greatest(0, max(excess) OVER pool) AS matched
    FROM product_sums
    WINDOW
        pool AS (PARTITION BY customer_id, product),
        so_far AS (PARTITION BY customer_id, product ORDER BY place ROWS UNBOUNDED PRECEDING),
        before AS (
            PARTITION BY customer_id, product ORDER BY place
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
),
product_settled AS (
    SELECT
        customer_id, day, is_refund, sku, order_id, named_order, ordered_at, original_order_id, source_customer_id,
        currency, revenue, lines, amount, product, place,
        CASE
            WHEN is_refund THEN amount - (uncovered - uncovered_before)
            ELSE settled + least(amount - settled, greatest(0, matched - (sold - (amount - settled))))
        END AS settled
    FROM product_peaks
)
SELECT
    customer_id,
    day,
    is_refund,
    sku,
    order_id,
    ordered_at,
    original_order_id,
    source_customer_id,
    currency,
    revenue,
    lines,
    CAST(amount AS DECIMAL(18, 2)) AS amount,
    CAST(settled AS DECIMAL(18, 2)) AS settled
FROM product_settled
WHERE is_refund OR settled > 0;

CREATE OR REPLACE VIEW unmatched_refunds AS
WITH cents AS (
    SELECT
        *,
        amount - settled AS left_over,
        CAST(round(CAST(amount - settled AS DECIMAL(19, 2)) * 100) AS BIGINT) AS left_over_cents,
        CAST(round(CAST(amount AS DECIMAL(19, 2)) * 100) AS BIGINT) // nullif(lines, 0) AS line_cents,
        CAST(round(CAST(revenue AS DECIMAL(19, 2)) * 100) AS BIGINT) AS revenue_cents,
        CAST(round(CAST(amount AS DECIMAL(19, 2)) * 100) AS BIGINT) AS amount_cents
    FROM return_matches
    WHERE is_refund AND settled < amount
)
SELECT
    source_customer_id,
    ordered_at,
    currency,
    order_id,
    sku,
    CAST(
        CASE
            WHEN settled = 0 THEN revenue
            WHEN currency = getvariable('currency') THEN -left_over
            ELSE CAST(
                trunc(CAST(revenue_cents AS DOUBLE) * left_over_cents / nullif(amount_cents, 0)) AS BIGINT
            ) * CAST(0.01 AS DECIMAL(3, 2))
        END AS DECIMAL(18, 2)
    ) AS revenue,
    CAST(-left_over AS DECIMAL(18, 2)) AS revenue_reporting,
    left_over_cents // nullif(line_cents, 0) AS whole_lines,
    (left_over_cents + line_cents - 1) // nullif(line_cents, 0) AS lines
FROM cents;
