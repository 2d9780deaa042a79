//! What is found when all is at rest, straight from the servers.

pub mod bus;
pub mod database;
pub mod replay;
