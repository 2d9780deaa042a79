//! The `qoe` program as a person or a script meets it: its help, its exit codes, its server
//! through a whole life, its roles on a real bus and database, and what a killed server owes to those
//! it answered.

#![expect(clippy::unwrap_used, reason = "tests")]

mod alert;
mod backup;
mod check;
mod check_ends;
mod compare;
mod crash;
mod diagnose;
mod dlq;
mod doctor;
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
mod tidy;
mod up;
mod upgrade;
