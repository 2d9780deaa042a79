DROP TABLE tokens;
DROP TABLE diagnoses;
DROP TABLE diagnosis_queue;
DROP SEQUENCE diagnosis_generation;
DROP TABLE agg_1m;
DROP TABLE events_seen;
DROP TABLE clients;
