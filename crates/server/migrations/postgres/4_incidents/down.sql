DROP TABLE detector_state;
DROP TABLE incidents;
DROP INDEX agg_1m_by_time;
ALTER TABLE agg_1d DROP COLUMN facts;
ALTER TABLE agg_1h DROP COLUMN facts;
ALTER TABLE agg_1m DROP COLUMN facts;
