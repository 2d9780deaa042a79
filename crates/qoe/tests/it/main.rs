//! The `qoe` program as a person or a script meets it: its help, its exit codes, its server
//! through a whole life, its roles on a real bus and database, what a killed server owes to those
//! it answered, what there is to deploy it with, and what the documents say of all that.

#![expect(clippy::unwrap_used, reason = "tests")]

mod alert;
mod backup;
mod check;
mod check_ends;
mod compare;
mod crash;
mod deploy;
mod diagnose;
mod dlq;
mod doctor;
mod documents;
mod explain;
mod help;
mod http;
mod metrics;
mod openapi;
mod own_trouble;
mod replay;
mod roles;
mod running;
mod simulate;
mod site;
mod spool;
mod stack;
mod tidy;
mod traces;
mod up;
mod upgrade;
