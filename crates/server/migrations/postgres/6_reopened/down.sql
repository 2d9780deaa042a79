DROP TABLE reopened;
