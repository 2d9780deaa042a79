DROP TABLE rollup_queue;
DROP TABLE agg_1d;
DROP TABLE agg_1h;
