DROP TABLE probe_gaps;
ALTER TABLE agg_1d DROP COLUMN count_troubled;
ALTER TABLE agg_1h DROP COLUMN count_troubled;
ALTER TABLE agg_1m DROP COLUMN count_troubled;
