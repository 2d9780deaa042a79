DROP TABLE rollup_queue;
DROP SEQUENCE rollup_generation;
DROP TABLE agg_1d;
DROP TABLE agg_1h;
